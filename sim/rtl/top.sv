// The accelerator with its DRAM, for whole networks at full speed.
//
// Only clock, reset, the control port, the host's access to DRAM and some flags are visible to a
// bench: everything that happens every cycle (memory, trace, watchdog, waveform, and with `free_run`
// the clock: see top.cpp) is compiled.
//
// +rows     file: every row that CALC writes to feature memory, `row data` in hexadecimal, a line
//           each, in the order of writing.
// +events   file: `cycle engine start|done layer`, and `cycle image rows read_beats write_beats`
//           when the interrupt rises.
// +max_cycles  cycles without interrupt or control access after which `timeout` rises.
// +waves    file: waveform of cycles +wave_first to +wave_last, after which `stopped` rises; needs
//           a build with tracing.
// DRAM, and how the host reads and writes it: see dram.sv.

module top #(
    parameter int DRAM_BYTES = 8,
    parameter int ROW_BYTES = 16
) (
    input  logic        clk            /*verilator public_flat_rw*/,
    input  logic        rst            /*verilator public_flat_rw*/,
    input  logic        free_run       /*verilator public_flat_rw*/,
    output logic        interrupt      /*verilator public_flat_rw*/,
    output logic        timeout        /*verilator public_flat_rw*/,
    output logic        stopped        /*verilator public_flat_rw*/,
    output logic        halted         /*verilator public_flat_rw*/,
    input  logic [1:0]  host_access    /*verilator public_flat_rw*/,
    input  logic [31:0] host_first     /*verilator public_flat_rw*/,
    input  logic [31:0] host_last      /*verilator public_flat_rw*/,

    input  logic [7:0]  s_axi__awaddr  /*verilator public_flat_rw*/,
    input  logic        s_axi__awvalid /*verilator public_flat_rw*/,
    output logic        s_axi__awready /*verilator public_flat_rw*/,
    input  logic [31:0] s_axi__wdata   /*verilator public_flat_rw*/,
    input  logic [3:0]  s_axi__wstrb   /*verilator public_flat_rw*/,
    input  logic        s_axi__wvalid  /*verilator public_flat_rw*/,
    output logic        s_axi__wready  /*verilator public_flat_rw*/,
    output logic [1:0]  s_axi__bresp   /*verilator public_flat_rw*/,
    output logic        s_axi__bvalid  /*verilator public_flat_rw*/,
    input  logic        s_axi__bready  /*verilator public_flat_rw*/,
    input  logic [7:0]  s_axi__araddr  /*verilator public_flat_rw*/,
    input  logic        s_axi__arvalid /*verilator public_flat_rw*/,
    output logic        s_axi__arready /*verilator public_flat_rw*/,
    output logic [31:0] s_axi__rdata   /*verilator public_flat_rw*/,
    output logic [1:0]  s_axi__rresp   /*verilator public_flat_rw*/,
    output logic        s_axi__rvalid  /*verilator public_flat_rw*/,
    input  logic        s_axi__rready  /*verilator public_flat_rw*/
);
    // ---- Ports, each behind a register ----------------------------------------------------------

    logic reset;
    logic [7:0] control_awaddr, control_araddr;
    logic [31:0] control_wdata, control_rdata;
    logic [3:0] control_wstrb;
    logic [1:0] control_bresp, control_rresp;
    logic control_awvalid, control_awready, control_wvalid, control_wready, control_bvalid;
    logic control_bready, control_arvalid, control_arready, control_rvalid, control_rready;

    logic [1:0] access;
    logic [31:0] access_first, access_last;

    always_ff @(posedge clk) begin
        reset <= rst;
        {access, access_first, access_last} <= {host_access, host_first, host_last};
    end

    register_slice #(8) aw (
        .clk, .rst(reset), .i_payload(s_axi__awaddr), .i_valid(s_axi__awvalid),
        .i_ready(s_axi__awready), .o_payload(control_awaddr), .o_valid(control_awvalid),
        .o_ready(control_awready));
    register_slice #(36) w (
        .clk, .rst(reset), .i_payload({s_axi__wdata, s_axi__wstrb}), .i_valid(s_axi__wvalid),
        .i_ready(s_axi__wready), .o_payload({control_wdata, control_wstrb}),
        .o_valid(control_wvalid), .o_ready(control_wready));
    register_slice #(2) b (
        .clk, .rst(reset), .i_payload(control_bresp), .i_valid(control_bvalid),
        .i_ready(control_bready), .o_payload(s_axi__bresp), .o_valid(s_axi__bvalid),
        .o_ready(s_axi__bready));
    register_slice #(8) ar (
        .clk, .rst(reset), .i_payload(s_axi__araddr), .i_valid(s_axi__arvalid),
        .i_ready(s_axi__arready), .o_payload(control_araddr), .o_valid(control_arvalid),
        .o_ready(control_arready));
    register_slice #(34) r (
        .clk, .rst(reset), .i_payload({control_rdata, control_rresp}), .i_valid(control_rvalid),
        .i_ready(control_rready), .o_payload({s_axi__rdata, s_axi__rresp}),
        .o_valid(s_axi__rvalid), .o_ready(s_axi__rready));

    // ---- Accelerator and DRAM -------------------------------------------------------------------

    logic awid, awvalid, awready, wlast, wvalid, wready, bid, bvalid, bready;
    logic arid, arvalid, arready, rid, rlast, rvalid, rready;
    logic [31:0] awaddr, araddr;
    logic [7:0] awlen, arlen;
    logic [2:0] awsize, arsize;
    logic [1:0] awburst, arburst, bresp, rresp;
    logic [8*DRAM_BYTES-1:0] wdata, rdata;
    logic [DRAM_BYTES-1:0] wstrb;
    logic [63:0] read_beats, write_beats;

    logic write_valid;
    logic [19:0] write_row;
    logic [8*ROW_BYTES-1:0] write_data;
    logic load_start, load_done, calc_start, calc_done, save_start, save_done;
    logic [11:0] load_start_layer, load_done_layer, calc_start_layer, calc_done_layer;
    logic [11:0] save_start_layer, save_done_layer;

    dynafix_accelerator accelerator (
        .clk, .rst(reset), .interrupt,
        .s_axi__awaddr(control_awaddr), .s_axi__awvalid(control_awvalid),
        .s_axi__awready(control_awready), .s_axi__wdata(control_wdata),
        .s_axi__wstrb(control_wstrb), .s_axi__wvalid(control_wvalid),
        .s_axi__wready(control_wready), .s_axi__bresp(control_bresp),
        .s_axi__bvalid(control_bvalid), .s_axi__bready(control_bready),
        .s_axi__araddr(control_araddr), .s_axi__arvalid(control_arvalid),
        .s_axi__arready(control_arready), .s_axi__rdata(control_rdata),
        .s_axi__rresp(control_rresp), .s_axi__rvalid(control_rvalid),
        .s_axi__rready(control_rready),
        .m_axi__awid(awid), .m_axi__awaddr(awaddr), .m_axi__awlen(awlen), .m_axi__awsize(awsize),
        .m_axi__awburst(awburst), .m_axi__awvalid(awvalid), .m_axi__awready(awready),
        .m_axi__wdata(wdata), .m_axi__wstrb(wstrb), .m_axi__wlast(wlast), .m_axi__wvalid(wvalid),
        .m_axi__wready(wready),
        .m_axi__bid(bid), .m_axi__bresp(bresp), .m_axi__bvalid(bvalid), .m_axi__bready(bready),
        .m_axi__arid(arid), .m_axi__araddr(araddr), .m_axi__arlen(arlen), .m_axi__arsize(arsize),
        .m_axi__arburst(arburst), .m_axi__arvalid(arvalid), .m_axi__arready(arready),
        .m_axi__rid(rid), .m_axi__rdata(rdata), .m_axi__rresp(rresp), .m_axi__rlast(rlast),
        .m_axi__rvalid(rvalid), .m_axi__rready(rready),
        .trace__write_valid(write_valid), .trace__write_row(write_row),
        .trace__write_data(write_data),
        .trace__load_start(load_start), .trace__load_start_layer(load_start_layer),
        .trace__load_done(load_done), .trace__load_done_layer(load_done_layer),
        .trace__calc_start(calc_start), .trace__calc_start_layer(calc_start_layer),
        .trace__calc_done(calc_done), .trace__calc_done_layer(calc_done_layer),
        .trace__save_start(save_start), .trace__save_start_layer(save_start_layer),
        .trace__save_done(save_done), .trace__save_done_layer(save_done_layer)
    );

    dram #(.BYTES(DRAM_BYTES)) dram (
        .clk, .rst(reset),
        .awid, .awaddr, .awlen, .awsize, .awburst, .awvalid, .awready,
        .wdata, .wstrb, .wlast, .wvalid, .wready, .bid, .bresp, .bvalid, .bready,
        .arid, .araddr, .arlen, .arsize, .arburst, .arvalid, .arready,
        .rid, .rdata, .rresp, .rlast, .rvalid, .rready,
        .host_access(access), .host_first(access_first), .host_last(access_last),
        .read_beats, .write_beats
    );

    // ---- Trace ----------------------------------------------------------------------------------

    int rows, events;
    longint unsigned cycle, row_count, waited, max_cycles;
    logic interrupt_before;

    initial begin
        string name;
        rows = 0;
        events = 0;
        if ($value$plusargs("rows=%s", name)) rows = $fopen(name, "w");
        if ($value$plusargs("events=%s", name)) events = $fopen(name, "w");
        if (!$value$plusargs("max_cycles=%d", max_cycles)) max_cycles = '1;
    end

    final begin
        if (rows != 0) $fclose(rows);
        if (events != 0) $fclose(events);
    end

    task automatic log_event(string what, logic [11:0] layer);
        if (events != 0) $fwrite(events, "%0d %s %0d\n", cycle, what, layer);
    endtask

    always @(posedge clk) begin
        cycle <= cycle + 1;
        interrupt_before <= interrupt;
        if (write_valid) begin
            row_count <= row_count + 1;
            if (rows != 0) $fwrite(rows, "%x %x\n", write_row, write_data);
        end
        if (load_done) log_event("load done", load_done_layer);
        if (calc_done) log_event("calc done", calc_done_layer);
        if (save_done) log_event("save done", save_done_layer);
        if (load_start) log_event("load start", load_start_layer);
        if (calc_start) log_event("calc start", calc_start_layer);
        if (save_start) log_event("save start", save_start_layer);
        if (interrupt && !interrupt_before && events != 0)
            $fwrite(events, "%0d image %0d %0d %0d\n", cycle, row_count, read_beats, write_beats);
        if (reset) begin
            {cycle, row_count} <= '0;
            interrupt_before <= 0;
        end
    end

    // ---- Ends of a free run: interrupt, watchdog, waveform -----------------------------------------

    assign halted = interrupt || timeout || stopped;

    always @(posedge clk) begin
        waited <= reset || control_awvalid || control_arvalid || interrupt ? 0 : waited + 1;
        timeout <= !reset && waited >= max_cycles;
    end

`ifdef WAVES
    longint unsigned wave_first, wave_last;
    logic waves;

    initial begin
        string name;
        waves = $value$plusargs("waves=%s", name);
        if (waves) $dumpfile(name);
        if (!$value$plusargs("wave_first=%d", wave_first)) wave_first = 0;
        if (!$value$plusargs("wave_last=%d", wave_last)) wave_last = '1;
    end

    always @(posedge clk) begin
        if (waves && !reset && cycle == wave_first) $dumpvars(0, top);
        stopped <= waves && !reset && cycle >= wave_last;
    end
`else
    assign stopped = 0;
`endif
endmodule
