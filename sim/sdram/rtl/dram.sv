// Controller and SDRAM in the place of the DRAM model of sim/rtl/dram.sv, with its ports and its
// options +words, +image and +dump; there are no +latency, +rate and +writable. The package
// `sdram_part` has the geometry, see sim/sdram/memory.py.

module dram import sdram_part::*; #(
    parameter int BYTES = 8
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
    localparam int WORDS = 8 * BYTES / DATA_BITS;       // in a beat

    logic cke, cs_n, ras_n, cas_n, we_n, dq_oe, drives;
    logic [BANK_BITS-1:0] ba;
    logic [ROW_BITS-1:0] a;
    logic [DATA_BITS/8-1:0] dqm;
    logic [DATA_BITS-1:0] dq_o, dq_i, dq_late;

    late #(.CYCLES(READ_DELAY), .DATA_BITS(DATA_BITS)) way (.clk, .i(dq_i), .o(dq_late));

    sdram_controller controller (
        .clk, .rst,
        .axi__awid(awid), .axi__awaddr(awaddr), .axi__awlen(awlen), .axi__awsize(awsize),
        .axi__awburst(awburst), .axi__awvalid(awvalid), .axi__awready(awready),
        .axi__wdata(wdata), .axi__wstrb(wstrb), .axi__wlast(wlast), .axi__wvalid(wvalid),
        .axi__wready(wready),
        .axi__bid(bid), .axi__bresp(bresp), .axi__bvalid(bvalid), .axi__bready(bready),
        .axi__arid(arid), .axi__araddr(araddr), .axi__arlen(arlen), .axi__arsize(arsize),
        .axi__arburst(arburst), .axi__arvalid(arvalid), .axi__arready(arready),
        .axi__rid(rid), .axi__rdata(rdata), .axi__rresp(rresp), .axi__rlast(rlast),
        .axi__rvalid(rvalid), .axi__rready(rready),
        .pins__cke(cke), .pins__cs_n(cs_n), .pins__ras_n(ras_n), .pins__cas_n(cas_n),
        .pins__we_n(we_n), .pins__ba(ba), .pins__a(a), .pins__dqm(dqm), .pins__dq_o(dq_o),
        .pins__dq_oe(dq_oe), .pins__dq_i(dq_late));

    sdram #(.BANK_BITS(BANK_BITS), .ROW_BITS(ROW_BITS), .COLUMN_BITS(COLUMN_BITS),
            .DATA_BITS(DATA_BITS)) chip (
        .clk, .cke, .cs_n, .ras_n, .cas_n, .we_n, .ba, .a, .dqm, .dq_i(dq_o), .dq_oe, .dq_o(dq_i),
        .drives);

    always_ff @(posedge clk) begin
        if (rst) {read_beats, write_beats} <= '0;
        else begin
            read_beats <= read_beats + 64'(rvalid && rready);
            write_beats <= write_beats + 64'(wvalid && wready);
        end
    end

    // ---- The host -------------------------------------------------------------------------------

    function automatic void dump(string name, int unsigned first, int unsigned last);
        int file;
        logic [8*BYTES-1:0] beat;
        file = $fopen(name, "w");
        if (file == 0) $fatal(1, "dram: cannot open %s", name);
        for (int unsigned i = first; i < last; i++) begin
            for (int w = 0; w < WORDS; w++) beat[DATA_BITS*w+:DATA_BITS] = chip.peek(i * WORDS + w);
            $fwrite(file, "%x\n", beat);
        end
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
            for (int w = 0; w < WORDS; w++) chip.poke(i * WORDS + w, beat[DATA_BITS*w+:DATA_BITS]);
        end
        $fclose(file);
    endfunction

    initial begin
        string name;
        int unsigned words;
        if ($value$plusargs("image=%s", name) && $value$plusargs("words=%d", words))
            load(name, 0, words);
    end

    final begin
        string name;
        int unsigned first, last;
        if ($value$plusargs("dump=%s", name) && $value$plusargs("dump_first=%d", first)
                && $value$plusargs("dump_last=%d", last)) dump(name, first, last);
    end

    logic host_before;

    task automatic host();
        string name;
        if (!$value$plusargs("host=%s", name)) $fatal(1, "dram: no file +host");
        if (host_access == 1) dump(name, host_first, host_last);
        else load(name, host_first, host_last);
    endtask

    always @(posedge clk) begin
        host_before <= host_access != 0;
        if (!rst && host_access != 0 && !host_before) host();
    end
endmodule
