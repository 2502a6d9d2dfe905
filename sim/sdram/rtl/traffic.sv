// Controller and memory under AXI4 bursts from the file +script. Its lines, in hexadecimal:
//
//   p aw w ar r b      a phase: chances in 256 that a channel moves in a cycle, where this side
//                      decides; the lines behind it belong to the phase, all of whose bursts are
//                      offered at once. It ends when everything is answered.
//   r id address length size burst     read burst of length + 1 beats
//   w id address length size burst     write burst; its data follow
//   d data strobe                      a beat of the last write burst
//
// The file +log gets `r id data resp last` for each beat, `b id resp` for each response, and
// `p cycles` at the end of each phase.

module traffic #(
    parameter int BYTES = 8,
    parameter int ID_BITS = 2,
    parameter int READ_DELAY = 0,
    parameter int BANK_BITS = 2,
    parameter int ROW_BITS = 13,
    parameter int COLUMN_BITS = 9,
    parameter int DATA_BITS = 16
) (
    input logic clk
);
    localparam int TIMEOUT = 1_000_000;         // cycles without any transfer

    typedef struct packed {
        logic [ID_BITS-1:0] id;
        logic [31:0] address;
        logic [7:0] length;
        logic [2:0] size;
        logic [1:0] burst;
    } request_t;
    typedef struct packed {
        logic last;
        logic [BYTES-1:0] strobe;
        logic [8*BYTES-1:0] data;
    } beat_t;

    request_t ar_queue[$], aw_queue[$];
    beat_t w_queue[$];
    logic rst = 1;
    logic arvalid = 0, awvalid = 0, wvalid = 0, rready = 0, bready = 0;
    logic arready, awready, wready, rvalid, bvalid, rlast;
    request_t ar, aw;
    beat_t w;
    logic [ID_BITS-1:0] rid, bid;
    logic [8*BYTES-1:0] rdata;
    logic [1:0] rresp, bresp;

    int script, log;
    int chance_aw = 256, chance_w = 256, chance_ar = 256, chance_r = 256, chance_b = 256;
    int reads_left = 0, writes_left = 0, idle = 0;
    longint cycle = 0, phase_start = 0;
    string name;
    logic in_phase = 0, ended = 0;
    string line;

    initial begin
        if (!$value$plusargs("script=%s", name)) $fatal(1, "traffic: no +script");
        script = $fopen(name, "r");
        if (!$value$plusargs("log=%s", name)) $fatal(1, "traffic: no +log");
        log = $fopen(name, "w");
    end

    task automatic read_phase();
        logic [ID_BITS-1:0] id;
        logic [31:0] address;
        logic [7:0] length;
        logic [2:0] size;
        logic [1:0] burst;
        logic [8*BYTES-1:0] data;
        logic [BYTES-1:0] strobe;
        int beats;
        string kind;
        beats = 0;
        while (1) begin
            if (line.len() == 0) begin
                if ($fgets(line, script) == 0) begin
                    ended = !in_phase;
                    return;
                end
            end
            kind = line.substr(0, 0);
            if (kind == "p") begin
                if (in_phase) return;
                in_phase = 1;
                void'($sscanf(line, "p %x %x %x %x %x", chance_aw, chance_w, chance_ar, chance_r,
                              chance_b));
            end else if (kind == "d") begin
                void'($sscanf(line, "d %x %x", data, strobe));
                beats -= 1;
                w_queue.push_back('{last: beats == 0, strobe: strobe, data: data});
            end else begin
                void'($sscanf(line.substr(1, line.len() - 1), " %x %x %x %x %x", id, address,
                              length, size, burst));
                if (kind == "r") begin
                    ar_queue.push_back('{id, address, length, size, burst});
                    reads_left += int'(length) + 1;
                end else begin
                    aw_queue.push_back('{id, address, length, size, burst});
                    beats = int'(length) + 1;
                    writes_left += 1;
                end
            end
            line = "";
        end
    endtask

    function automatic logic moves(int chance);
        return int'($urandom_range(255)) < chance;
    endfunction

    logic held_r = 0, held_b = 0;
    logic [8*BYTES-1:0] held_rdata;
    logic [ID_BITS-1:0] held_rid, held_bid;

    always @(posedge clk) begin
        cycle = cycle + 1;
        rst <= cycle < 4;
        idle = idle + 1;
        if (!rst) begin
            if (rvalid && rready) begin
                $fwrite(log, "r %x %x %x %x\n", rid, rdata, rresp, rlast);
                reads_left -= 1;
                idle = 0;
            end
            if (bvalid && bready) begin
                $fwrite(log, "b %x %x\n", bid, bresp);
                writes_left -= 1;
                idle = 0;
            end
            if (held_r && !(rvalid && rdata == held_rdata && rid == held_rid))
                $error("traffic: read data withdrawn before its transfer");
            if (held_b && !(bvalid && bid == held_bid))
                $error("traffic: response withdrawn before its transfer");
            held_r <= rvalid && !rready;
            held_b <= bvalid && !bready;
            held_rdata <= rdata;
            held_rid <= rid;
            held_bid <= bid;
            if (idle > TIMEOUT) $fatal(1, "traffic: no answer for %0d cycles", TIMEOUT);

            if (reads_left == 0 && writes_left == 0) begin
                if (in_phase) $fwrite(log, "p %0d\n", cycle - phase_start);
                in_phase = 0;
                read_phase();
                phase_start = cycle;
                if (ended) begin
                    $fclose(log);
                    $finish;
                end
            end
            if (!arvalid || arready) begin
                arvalid <= 0;
                if (ar_queue.size() != 0 && moves(chance_ar)) begin
                    arvalid <= 1;
                    ar <= ar_queue.pop_front();
                end
            end
            if (!awvalid || awready) begin
                awvalid <= 0;
                if (aw_queue.size() != 0 && moves(chance_aw)) begin
                    awvalid <= 1;
                    aw <= aw_queue.pop_front();
                end
            end
            if (!wvalid || wready) begin
                wvalid <= 0;
                if (w_queue.size() != 0 && moves(chance_w)) begin
                    wvalid <= 1;
                    w <= w_queue.pop_front();
                end
            end
            rready <= moves(chance_r);
            bready <= moves(chance_b);
        end
    end

    logic cke, cs_n, ras_n, cas_n, we_n, dq_oe;
    logic [BANK_BITS-1:0] ba;
    logic [ROW_BITS-1:0] a;
    logic [DATA_BITS/8-1:0] dqm;
    logic [DATA_BITS-1:0] dq_o, dq_i, dq_late;

    late #(.CYCLES(READ_DELAY), .DATA_BITS(DATA_BITS)) way (.clk, .i(dq_i), .o(dq_late));

    sdram_controller controller (
        .clk, .rst,
        .axi__awid(aw.id), .axi__awaddr(aw.address), .axi__awlen(aw.length), .axi__awsize(aw.size),
        .axi__awburst(aw.burst), .axi__awvalid(awvalid), .axi__awready(awready),
        .axi__wdata(w.data), .axi__wstrb(w.strobe), .axi__wlast(w.last), .axi__wvalid(wvalid),
        .axi__wready(wready),
        .axi__bid(bid), .axi__bresp(bresp), .axi__bvalid(bvalid), .axi__bready(bready),
        .axi__arid(ar.id), .axi__araddr(ar.address), .axi__arlen(ar.length), .axi__arsize(ar.size),
        .axi__arburst(ar.burst), .axi__arvalid(arvalid), .axi__arready(arready),
        .axi__rid(rid), .axi__rdata(rdata), .axi__rresp(rresp), .axi__rlast(rlast),
        .axi__rvalid(rvalid), .axi__rready(rready),
        .pins__cke(cke), .pins__cs_n(cs_n), .pins__ras_n(ras_n), .pins__cas_n(cas_n),
        .pins__we_n(we_n), .pins__ba(ba), .pins__a(a), .pins__dqm(dqm), .pins__dq_o(dq_o),
        .pins__dq_oe(dq_oe), .pins__dq_i(dq_late));

    sdram #(.BANK_BITS(BANK_BITS), .ROW_BITS(ROW_BITS), .COLUMN_BITS(COLUMN_BITS),
            .DATA_BITS(DATA_BITS)) chip (
        .clk, .cke, .cs_n, .ras_n, .cas_n, .we_n, .ba, .a, .dqm, .dq_i(dq_o), .dq_oe, .dq_o(dq_i),
        .drives());
endmodule
