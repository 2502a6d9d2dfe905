// AXI4 slave that behaves like a DRAM controller: a latency, a bandwidth, several requests in
// flight, answers in order.
//
// Latency: the first beat of a read that finds the memory idle transfers `latency` cycles after its
// address did; the response to a write `latency` cycles after its last beat. Bandwidth: reads and
// writes share a bucket that gains `rate` 1024ths of a byte a cycle; a beat costs BYTES, and less
// than one beat is saved while idle. Whichever of reads and writes was not served last goes first.
//
// The memory is as large as the file +image. Its beats are stored most significant byte first, as
// $fread takes them. Reads outside it and writes outside it or below +writable answer SLVERR. At the
// end, beats +dump_first ... +dump_last - 1 go to the file +dump, one hexadecimal beat a line.
// Between runs the host reads and writes beats: when `host_access` becomes 1, beats `host_first` ...
// `host_last` - 1 go to the file +host in the form of +dump; when it becomes 2, they come from it in
// the form of +image.
// A master that breaks the protocol stops the simulation with an error.

module dram #(
    parameter int BYTES = 8,            // bytes in one beat
    parameter int REQUESTS = 16,        // reads, and writes, in flight
    parameter int WRITE_BUFFER = 4      // beats accepted ahead of the memory
) (
    input  logic                 clk,
    input  logic                 rst,

    input  logic                 awid,
    input  logic [31:0]          awaddr,
    input  logic [7:0]           awlen,
    input  logic [2:0]           awsize,
    input  logic [1:0]           awburst,
    input  logic                 awvalid,
    output logic                 awready,
    input  logic [8*BYTES-1:0]   wdata,
    input  logic [BYTES-1:0]     wstrb,
    input  logic                 wlast,
    input  logic                 wvalid,
    output logic                 wready,
    output logic                 bid,
    output logic [1:0]           bresp,
    output logic                 bvalid,
    input  logic                 bready,
    input  logic                 arid,
    input  logic [31:0]          araddr,
    input  logic [7:0]           arlen,
    input  logic [2:0]           arsize,
    input  logic [1:0]           arburst,
    input  logic                 arvalid,
    output logic                 arready,
    output logic                 rid,
    output logic [8*BYTES-1:0]   rdata,
    output logic [1:0]           rresp,
    output logic                 rlast,
    output logic                 rvalid,
    input  logic                 rready,

    input  logic [1:0]           host_access,
    input  logic [31:0]          host_first,
    input  logic [31:0]          host_last,

    output logic [63:0]          read_beats,
    output logic [63:0]          write_beats
);
    localparam int SHIFT = $clog2(BYTES);
    localparam int BEAT = BYTES * 1024;
    localparam logic [1:0] OKAY = 0, SLVERR = 2, INCR = 1;

    typedef struct packed {
        logic        id;
        logic [31:0] index;             // next beat of memory
        logic [7:0]  left;              // beats after the next one
        logic        bad;               // a beat of the write was refused
        logic [63:0] due;               // first cycle that may answer
    } request_t;

    // ---- The memory -----------------------------------------------------------------------------

    logic [8*BYTES-1:0] memory[];
    int unsigned words, latency, rate, writable;

    function automatic void dump(string name, int unsigned first, int unsigned last);
        int file;
        file = $fopen(name, "w");
        if (file == 0) $fatal(1, "dram: cannot open %s", name);
        for (int unsigned i = first; i < last; i++) $fwrite(file, "%x\n", memory[i]);
        $fclose(file);
    endfunction

    function automatic void load(string name, int unsigned first, int unsigned last);
        int file, got;
        logic [8*BYTES-1:0] beat;
        file = $fopen(name, "rb");
        if (file == 0) $fatal(1, "dram: cannot open %s", name);
        for (int unsigned i = first; i < last; i++) begin
            got = $fread(beat, file);
            if (got != BYTES) $fatal(1, "dram: %s ends at beat %0d of %0d", name, i, last);
            memory[i] = beat;
        end
        $fclose(file);
    endfunction

    initial begin
        string name;
        if (!$value$plusargs("words=%d", words)) words = 0;
        if (!$value$plusargs("latency=%d", latency)) latency = 30;
        if (!$value$plusargs("rate=%d", rate)) rate = BEAT;
        if (!$value$plusargs("writable=%d", writable)) writable = 0;
        memory = new[words];
        if ($value$plusargs("image=%s", name)) load(name, 0, words);
    end

    final begin
        string name;
        int unsigned first, last;
        if ($value$plusargs("dump=%s", name) && $value$plusargs("dump_first=%d", first)
                && $value$plusargs("dump_last=%d", last)) dump(name, first, last);
    end

    task automatic host();
        string name;
        if (!$value$plusargs("host=%s", name)) $fatal(1, "dram: no file +host");
        if (host_access == 1) dump(name, host_first, host_last);
        else load(name, host_first, host_last);
    endtask

    // ---- Requests -------------------------------------------------------------------------------

    request_t reads[REQUESTS], writes[REQUESTS], responses[REQUESTS];
    logic [8*BYTES-1:0] data[WRITE_BUFFER];
    logic [BYTES-1:0] strobes[WRITE_BUFFER];
    logic lasts[WRITE_BUFFER];
    int unsigned read_head, read_count, write_head, write_count, response_head, response_count;
    int unsigned data_head, data_count, credit;
    logic write_turn;                   // writes go first
    logic [63:0] now;
    logic host_before;

    function automatic request_t request(
            logic id, logic [31:0] address, logic [7:0] length, logic [2:0] size, logic [1:0] burst);
        if (size != 3'(SHIFT)) $error("dram: beats must be %0d bytes, not 2^%0d", BYTES, size);
        if (burst != INCR) $error("dram: bursts must be INCR, not %0d", burst);
        if (address[SHIFT-1:0] != 0) $error("dram: address %h is not aligned", address);
        if ({20'b0, address[11:0]} + ((32'(length) + 1) << SHIFT) > 4096)
            $error("dram: burst of %0d beats at %h crosses 4 KiB", length + 1, address);
        return '{id: id, index: address >> SHIFT, left: length, bad: 0, due: now + 64'(latency) - 1};
    endfunction

    task automatic try_read();
        if (read_count != 0 && now >= reads[read_head].due && (!rvalid || rready) && credit >= BEAT)
            read_beat();
    endtask

    task automatic try_write();
        if (write_count != 0 && data_count != 0 && credit >= BEAT) write_beat();
    endtask

    task automatic read_beat();
        credit -= BEAT;
        write_turn = 1;
        rid <= reads[read_head].id;
        rdata <= reads[read_head].index < words ? memory[reads[read_head].index] : '1;
        rresp <= reads[read_head].index < words ? OKAY : SLVERR;
        rlast <= reads[read_head].left == 0;
        rvalid <= 1;
        read_beats <= read_beats + 1;
        if (reads[read_head].left == 0) begin
            read_head = (read_head + 1) % REQUESTS;
            read_count -= 1;
        end else begin
            reads[read_head].index += 1;
            reads[read_head].left -= 1;
        end
    endtask

    task automatic write_beat();
        logic [31:0] index;
        logic [8*BYTES-1:0] beat;
        credit -= BEAT;
        write_turn = 0;
        index = writes[write_head].index;
        if (index < words && index >= writable) begin
            if (&strobes[data_head]) memory[index] = data[data_head];
            else begin
                beat = memory[index];
                for (int i = 0; i < BYTES; i++)
                    if (strobes[data_head][i]) beat[8*i+:8] = data[data_head][8*i+:8];
                memory[index] = beat;
            end
        end else writes[write_head].bad = 1;
        write_beats <= write_beats + 1;
        if (lasts[data_head] != (writes[write_head].left == 0))
            $error("dram: wlast is %0d with %0d beats left", lasts[data_head],
                   writes[write_head].left);
        data_head = (data_head + 1) % WRITE_BUFFER;
        data_count -= 1;
        if (writes[write_head].left == 0) begin
            writes[write_head].due = now + 64'(latency) - 1;
            responses[(response_head + response_count) % REQUESTS] = writes[write_head];
            response_count += 1;
            write_head = (write_head + 1) % REQUESTS;
            write_count -= 1;
        end else begin
            writes[write_head].index += 1;
            writes[write_head].left -= 1;
        end
    endtask

    always @(posedge clk) begin
        now = now + 1;
        host_before <= host_access != 0;
        if (!rst && host_access != 0 && !host_before) host();
        if (rst) begin
            {now, credit, write_turn} = '0;
            {read_head, read_count, write_head, write_count} = '0;
            {response_head, response_count, data_head, data_count} = '0;
            {awready, wready, arready, bvalid, rvalid} <= '0;
            {read_beats, write_beats} <= '0;
        end else begin
            if (arvalid && arready) begin
                reads[(read_head + read_count) % REQUESTS] =
                    request(arid, araddr, arlen, arsize, arburst);
                read_count += 1;
            end
            if (awvalid && awready) begin
                writes[(write_head + write_count) % REQUESTS] =
                    request(awid, awaddr, awlen, awsize, awburst);
                write_count += 1;
            end
            if (wvalid && wready) begin
                data[(data_head + data_count) % WRITE_BUFFER] = wdata;
                strobes[(data_head + data_count) % WRITE_BUFFER] = wstrb;
                lasts[(data_head + data_count) % WRITE_BUFFER] = wlast;
                data_count += 1;
            end
            if (rready) rvalid <= 0;

            // At most one beat of each, as far as the bucket goes.
            credit += rate;
            if (write_turn) begin
                try_write();
                try_read();
            end else begin
                try_read();
                try_write();
            end
            if (credit > BEAT - 1) credit = BEAT - 1;

            if (!bvalid || bready) begin
                bvalid <= response_count != 0 && now >= responses[response_head].due;
                bid <= responses[response_head].id;
                bresp <= responses[response_head].bad ? SLVERR : OKAY;
                if (response_count != 0 && now >= responses[response_head].due) begin
                    response_head = (response_head + 1) % REQUESTS;
                    response_count -= 1;
                end
            end
            arready <= read_count < REQUESTS;
            awready <= write_count + response_count < REQUESTS;
            wready <= data_count < WRITE_BUFFER;
        end
    end

    // ---- What a master must keep ----------------------------------------------------------------

    logic held_ar, held_aw, held_w;
    logic [31:0] held_araddr, held_awaddr;
    logic [8*BYTES-1:0] held_wdata;

    always @(posedge clk) begin
        held_ar <= !rst && arvalid && !arready;
        held_aw <= !rst && awvalid && !awready;
        held_w <= !rst && wvalid && !wready;
        held_araddr <= araddr;
        held_awaddr <= awaddr;
        held_wdata <= wdata;
        if (!rst && held_ar && !(arvalid && araddr == held_araddr))
            $error("dram: read request withdrawn before its transfer");
        if (!rst && held_aw && !(awvalid && awaddr == held_awaddr))
            $error("dram: write request withdrawn before its transfer");
        if (!rst && held_w && !(wvalid && wdata == held_wdata))
            $error("dram: write data withdrawn before its transfer");
    end
endmodule
