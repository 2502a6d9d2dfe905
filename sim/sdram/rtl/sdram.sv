// SDR SDRAM that checks every rule of its data sheet, in nanoseconds of the data sheet and not in
// the cycles of a controller.
//
// Times come as +t_rcd and so on in picoseconds, the clock as +khz (see sim/sdram/model.py for
// their meaning). Cycles count from the start of the simulation, which is when power is stable.
// What a data sheet allows but this project has no use for is an error, too: bursts that are cut
// short, auto precharge, burst stop, power down, self refresh, single writes.
//
// The memory is noise until it is written. Words are indexed by row, bank and column, in this order.

module sdram #(
    parameter int BANK_BITS = 2,
    parameter int ROW_BITS = 13,
    parameter int COLUMN_BITS = 9,
    parameter int DATA_BITS = 16
) (
    input  logic                   clk,
    input  logic                   cke,
    input  logic                   cs_n,
    input  logic                   ras_n,
    input  logic                   cas_n,
    input  logic                   we_n,
    input  logic [BANK_BITS-1:0]   ba,
    input  logic [ROW_BITS-1:0]    a,
    input  logic [DATA_BITS/8-1:0] dqm,
    input  logic [DATA_BITS-1:0]   dq_i,       // from the controller, while dq_oe
    input  logic                   dq_oe,
    output logic [DATA_BITS-1:0]   dq_o,
    output logic                   drives      // dq_o
);
    localparam int BANKS = 1 << BANK_BITS, BYTES = DATA_BITS / 8;
    localparam int WORDS = 1 << (BANK_BITS + ROW_BITS + COLUMN_BITS);
    localparam int LONGEST = 12;                // cycles from a READ to its last data, and more
    localparam int ROWS = 1 << ROW_BITS;
    localparam longint NEVER = -64'd1_000_000_000;

    typedef logic [DATA_BITS-1:0] word_t;

    // The difference from noise, so that nothing has to be filled.
    word_t memory[WORDS];

    longint khz, t_rcd, t_rp, t_ras, t_rc, t_rrd, t_wr, t_rfc, t_mrd, t_ras_max, t_refresh, t_power_up;
    longint t_ck_2, t_ck_3, wr_cycles, rrd_cycles, mrd_cycles, refreshes;

    initial begin
        if (!($value$plusargs("khz=%d", khz)
              && $value$plusargs("t_rcd=%d", t_rcd) && $value$plusargs("t_rp=%d", t_rp)
              && $value$plusargs("t_ras=%d", t_ras) && $value$plusargs("t_rc=%d", t_rc)
              && $value$plusargs("t_rrd=%d", t_rrd) && $value$plusargs("t_wr=%d", t_wr)
              && $value$plusargs("t_rfc=%d", t_rfc) && $value$plusargs("t_mrd=%d", t_mrd)
              && $value$plusargs("t_ras_max=%d", t_ras_max)
              && $value$plusargs("t_refresh=%d", t_refresh)
              && $value$plusargs("t_power_up=%d", t_power_up)
              && $value$plusargs("t_ck_2=%d", t_ck_2) && $value$plusargs("t_ck_3=%d", t_ck_3)
              && $value$plusargs("wr_cycles=%d", wr_cycles)
              && $value$plusargs("rrd_cycles=%d", rrd_cycles)
              && $value$plusargs("mrd_cycles=%d", mrd_cycles)
              && $value$plusargs("refreshes=%d", refreshes)))
            $fatal(1, "sdram: a parameter of the part is missing on the command line");
    end

    function automatic word_t noise(int index);
        return word_t'((index * 40503) ^ (index >> 5));
    endfunction

    function automatic word_t peek(int index);
        return memory[index] ^ noise(index);
    endfunction

    function automatic void poke(int index, word_t value);
        memory[index] = value ^ noise(index);
    endfunction

    // ---- State ----------------------------------------------------------------------------------

    longint now = 0;
    logic open[BANKS];
    logic [ROW_BITS-1:0] row[BANKS];
    longint active[BANKS], precharged[BANKS], read_end[BANKS], written[BANKS];
    longint any_active = NEVER, any_precharged = NEVER, refreshed = NEVER, loaded = NEVER;
    longint burst_end = NEVER;                  // last cycle in which a burst takes or makes data
    longint refresh_at[ROWS];                   // when the last refreshes were
    int refresh_count = 0, refresh_place = 0;
    logic closed_all = 0, ready = 0;            // since power up
    int burst_length = 1, cas_latency = 2;
    logic cke_before = 0;

    // Data on their way out; place 0 leaves at this edge.
    logic out_valid[LONGEST];
    word_t out_data[LONGEST];
    logic driving = 0, drove = 0, driven = 0;   // by the memory now, before; by the controller before
    logic [BYTES-1:0] dqm_before = 0;

    // Data on their way in.
    int write_left = 0;
    logic [BANK_BITS-1:0] write_bank;
    int write_column;

    initial begin
        foreach (open[i]) begin
            open[i] = 0;
            active[i] = NEVER;
            precharged[i] = NEVER;
            read_end[i] = NEVER;
            written[i] = NEVER;
        end
        foreach (out_valid[i]) out_valid[i] = 0;
    end

    function automatic int place(logic [BANK_BITS-1:0] bank, int column);
        return int'({row[bank], bank, COLUMN_BITS'(column)});
    endfunction

    // ---- Rules ----------------------------------------------------------------------------------

    // Whether less time than `least` has passed since a cycle.
    function automatic logic early(longint since, longint least);
        return (now - since) * 64'd1_000_000_000 < least * khz;
    endfunction

    task automatic check(string name, longint since, longint least, longint cycles = 0);
        if (early(since, least) || now - since < cycles)
            $error("sdram: %s broken, only %0d cycles at cycle %0d", name, now - since, now);
    endtask

    task automatic after_others();              // what every command waits for
        if (!cke || !cke_before) $error("sdram: command with CKE low at cycle %0d", now);
        check("power-up time", 0, t_power_up);
        check("tRFC", refreshed, t_rfc);
        check("tMRD", loaded, t_mrd, mrd_cycles);
    endtask

    task automatic need_ready(string name);
        if (!ready) $error("sdram: %s before the power-up sequence at cycle %0d", name, now);
    endtask

    task automatic need_closed(string name);
        foreach (open[i])
            if (open[i]) $error("sdram: %s while bank %0d is open at cycle %0d", name, i, now);
        check("tRP", any_precharged, t_rp);
    endtask

    // ---- Commands -------------------------------------------------------------------------------

    task automatic do_active();
        after_others();
        need_ready("ACTIVE");
        if (open[ba]) $error("sdram: ACTIVE while bank %0d is open at cycle %0d", ba, now);
        check("tRP", precharged[ba], t_rp);
        check("tRC", active[ba], t_rc);
        check("tRRD", any_active, t_rrd, rrd_cycles);
        open[ba] = 1;
        row[ba] = a;
        active[ba] = now;
        any_active = now;
    endtask

    task automatic do_access(string name);
        after_others();
        need_ready(name);
        if (!open[ba]) $error("sdram: %s while bank %0d is closed at cycle %0d", name, ba, now);
        check("tRCD", active[ba], t_rcd);
        if (a[10]) $error("sdram: auto precharge at cycle %0d", now);
        if (now <= burst_end) $error("sdram: %s cuts a burst at cycle %0d", name, now);
        if (int'(a[9:0]) % burst_length != 0 || int'(a[9:0]) >= 1 << COLUMN_BITS)
            $error("sdram: %s of column %0d, which begins no burst, at cycle %0d", name, a[9:0], now);
    endtask

    task automatic do_read();
        do_access("READ");
        burst_end = now + longint'(burst_length) - 1;
        read_end[ba] = burst_end;
        for (int i = 0; i < burst_length; i++) begin
            out_valid[cas_latency - 1 + i] = 1;
            out_data[cas_latency - 1 + i] = peek(place(ba, int'(a[9:0]) + i));
        end
    endtask

    task automatic do_write();
        do_access("WRITE");
        burst_end = now + longint'(burst_length) - 1;
        written[ba] = burst_end;
        write_left = burst_length;
        write_bank = ba;
        write_column = int'(a[9:0]);
    endtask

    task automatic close(int bank);
        if (open[bank]) begin
            check("tRAS", active[bank], t_ras);
            if (!early(active[bank], t_ras_max))
                $error("sdram: bank %0d was open for longer than tRAS allows at cycle %0d", bank, now);
            check("tWR", written[bank], t_wr, wr_cycles);
            if (now <= read_end[bank])
                $error("sdram: PRECHARGE cuts a burst at cycle %0d", now);
            precharged[bank] = now;
            any_precharged = now;
        end
        open[bank] = 0;
    endtask

    task automatic do_precharge();
        after_others();
        if (a[10]) begin
            foreach (open[i]) close(i);
            any_precharged = now;
            closed_all = 1;
        end else close(int'(ba));
    endtask

    task automatic do_refresh();
        after_others();
        if (!closed_all) $error("sdram: REFRESH before PRECHARGE of all banks at cycle %0d", now);
        need_closed("REFRESH");
        check("tRC", any_active, t_rc);
        if (refresh_count >= ROWS && !early(refresh_at[refresh_place], t_refresh))
            $error("sdram: a row waited too long for its refresh at cycle %0d", now);
        refreshed = now;
        refresh_at[refresh_place] = now;
        refresh_place = (refresh_place + 1) % ROWS;
        refresh_count += 1;
    endtask

    task automatic do_load_mode();
        longint period;
        after_others();
        if (longint'(refresh_count) < refreshes)
            $error("sdram: LOAD MODE after %0d of %0d refreshes at cycle %0d", refresh_count,
                   refreshes, now);
        need_closed("LOAD MODE");
        if (now <= burst_end) $error("sdram: LOAD MODE cuts a burst at cycle %0d", now);
        if (ba != 0 || a[ROW_BITS-1:7] != 0 || a[3] || a[2])
            $error("sdram: mode %h is none of sequential bursts of 1 to 8 at cycle %0d", a, now);
        burst_length = 1 << a[1:0];
        cas_latency = int'(a[6:4]);
        if (cas_latency < 2 || cas_latency > 3) begin
            $error("sdram: CAS latency of %0d at cycle %0d", cas_latency, now);
            cas_latency = 3;
        end
        period = cas_latency == 2 ? t_ck_2 : t_ck_3;
        if (period == 0 || period * khz > 64'd1_000_000_000)
            $error("sdram: CAS latency %0d is too short for the clock at cycle %0d", cas_latency, now);
        loaded = now;
        ready = 1;
    endtask

    // ---- A cycle --------------------------------------------------------------------------------

    task automatic take_data();
        word_t value;
        if (!dq_oe) $error("sdram: nobody drives the data to write at cycle %0d", now);
        value = peek(place(write_bank, write_column));
        for (int i = 0; i < BYTES; i++) if (!dqm[i]) value[8*i+:8] = dq_i[8*i+:8];
        poke(place(write_bank, write_column), value);
        write_column += 1;
        write_left -= 1;
    endtask

    task automatic give_data();
        word_t data;
        logic drive;
        drive = out_valid[0] && dqm_before != '1;
        data = out_data[0];
        // What is masked, or nobody drives, is whatever the bus holds.
        for (int i = 0; i < BYTES; i++)
            if (!out_valid[0] || dqm_before[i]) data[8*i+:8] = 8'(now * 97 + 11);
        dq_o <= data;
        drives <= drive;
        drove = driving;
        driving = drive;
        for (int i = 0; i < LONGEST - 1; i++) begin
            out_valid[i] = out_valid[i + 1];
            out_data[i] = out_data[i + 1];
        end
        out_valid[LONGEST - 1] = 0;
    endtask

    always @(posedge clk) begin
        now = now + 1;
        if (dq_oe && driving) $error("sdram: both sides drive the data bus at cycle %0d", now);
        if ((dq_oe && drove && !driven) || (driving && driven))
            $error("sdram: no free cycle as the data bus changes hands at cycle %0d", now);
        driven = dq_oe;
        if (cke_before && !cke) $error("sdram: power down or self refresh at cycle %0d", now);
        if (ready && refresh_count < ROWS && !early(loaded, t_refresh))
            $error("sdram: %0d of %0d rows refreshed in time at cycle %0d", refresh_count, ROWS, now);
        if (ready && !early(refreshed, t_refresh / longint'(ROWS) * 9))
            $error("sdram: no refresh for nine intervals at cycle %0d", now);

        if (!cs_n) begin
            case ({ras_n, cas_n, we_n})
                3'b011: do_active();
                3'b101: do_read();
                3'b100: do_write();
                3'b010: do_precharge();
                3'b001: do_refresh();
                3'b000: do_load_mode();
                3'b110: $error("sdram: burst stop at cycle %0d", now);
                default: ;
            endcase
        end
        if (write_left != 0) take_data();
        give_data();
        dqm_before = dqm;
        cke_before = cke;
    end
endmodule
