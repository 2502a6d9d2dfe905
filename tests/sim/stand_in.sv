// Stand-in for the accelerator: the same ports, one behaviour. It reads the program's header, copies
// `instruction_count` rows from region 1 to region 2 adding 1 to every byte, and reports every row
// as if CALC had written it. A count of 0 hangs. Widths: `DRAM_BYTES and `ROW_BYTES.

module dynafix_accelerator (
    input  logic clk, input logic rst, output logic interrupt,

    input  logic [7:0] s_axi__awaddr, input logic s_axi__awvalid, output logic s_axi__awready,
    input  logic [31:0] s_axi__wdata, input logic [3:0] s_axi__wstrb, input logic s_axi__wvalid,
    output logic s_axi__wready, output logic [1:0] s_axi__bresp, output logic s_axi__bvalid,
    input  logic s_axi__bready,
    input  logic [7:0] s_axi__araddr, input logic s_axi__arvalid, output logic s_axi__arready,
    output logic [31:0] s_axi__rdata, output logic [1:0] s_axi__rresp, output logic s_axi__rvalid,
    input  logic s_axi__rready,

    output logic m_axi__awid, output logic [31:0] m_axi__awaddr, output logic [7:0] m_axi__awlen,
    output logic [2:0] m_axi__awsize, output logic [1:0] m_axi__awburst,
    output logic m_axi__awvalid, input logic m_axi__awready,
    output logic [8*`DRAM_BYTES-1:0] m_axi__wdata, output logic [`DRAM_BYTES-1:0] m_axi__wstrb,
    output logic m_axi__wlast, output logic m_axi__wvalid, input logic m_axi__wready,
    input  logic m_axi__bid, input logic [1:0] m_axi__bresp, input logic m_axi__bvalid,
    output logic m_axi__bready,
    output logic m_axi__arid, output logic [31:0] m_axi__araddr, output logic [7:0] m_axi__arlen,
    output logic [2:0] m_axi__arsize, output logic [1:0] m_axi__arburst,
    output logic m_axi__arvalid, input logic m_axi__arready,
    input  logic m_axi__rid, input logic [8*`DRAM_BYTES-1:0] m_axi__rdata,
    input  logic [1:0] m_axi__rresp, input logic m_axi__rlast, input logic m_axi__rvalid,
    output logic m_axi__rready,

    output logic trace__write_valid, output logic [19:0] trace__write_row,
    output logic [8*`ROW_BYTES-1:0] trace__write_data,
    output logic trace__load_start, output logic [11:0] trace__load_start_layer,
    output logic trace__load_done, output logic [11:0] trace__load_done_layer,
    output logic trace__calc_start, output logic [11:0] trace__calc_start_layer,
    output logic trace__calc_done, output logic [11:0] trace__calc_done_layer,
    output logic trace__save_start, output logic [11:0] trace__save_start_layer,
    output logic trace__save_done, output logic [11:0] trace__save_done_layer
);
    localparam int HEADER = 64 / `DRAM_BYTES, PARTS = `ROW_BYTES / `DRAM_BYTES, BURST = 16;

    typedef enum logic [2:0] {IDLE, FETCH, LOAD, CALC, SAVE, DONE, HANG} state_t;
    state_t state;
    logic [31:0] registers[64];
    logic [8*`DRAM_BYTES-1:0] buffer[4096];
    logic [63:0] cycles;
    logic [31:0] asked, got, beats, written, acknowledged, total;
    logic [31:0] error;

    // ---- Control port ---------------------------------------------------------------------------

    assign s_axi__awready = s_axi__awvalid && s_axi__wvalid && !s_axi__bvalid;
    assign s_axi__wready = s_axi__awready;
    assign s_axi__arready = !s_axi__rvalid;
    assign {s_axi__bresp, s_axi__rresp} = '0;

    always_ff @(posedge clk) begin
        if (s_axi__bready) s_axi__bvalid <= 0;
        if (s_axi__rready) s_axi__rvalid <= 0;
        if (s_axi__awready) begin
            registers[s_axi__awaddr[7:2]] <= s_axi__wdata;
            s_axi__bvalid <= 1;
        end
        if (s_axi__arvalid && s_axi__arready) begin
            s_axi__rvalid <= 1;
            case (s_axi__araddr)
                8'h14: s_axi__rdata <= {29'b0, error != 0, state == DONE, state != IDLE};
                8'h18: s_axi__rdata <= error;
                8'h1C: s_axi__rdata <= 1;
                8'h34: s_axi__rdata <= cycles[31:0];
                8'h38: s_axi__rdata <= cycles[63:32];
                // Counters tell what was selected, and which they are.
                8'h40, 8'h44, 8'h48, 8'h4C:
                    s_axi__rdata <= {registers[6'h0F][23:0], s_axi__araddr};
                default: s_axi__rdata <= registers[s_axi__araddr[7:2]];
            endcase
        end
        if (rst) {s_axi__bvalid, s_axi__rvalid} <= '0;
    end

    // ---- Bus ------------------------------------------------------------------------------------

    function automatic logic [31:0] least(logic [31:0] a, logic [31:0] b);
        return a < b ? a : b;
    endfunction

    assign {m_axi__arid, m_axi__awid} = '1;
    assign m_axi__arsize = $clog2(`DRAM_BYTES), m_axi__awsize = $clog2(`DRAM_BYTES);
    assign m_axi__arburst = 1, m_axi__awburst = 1, m_axi__wstrb = '1;
    assign m_axi__rready = 1, m_axi__bready = 1;

    assign beats = state == FETCH ? HEADER : total * PARTS;
    assign m_axi__arvalid = (state == FETCH || state == LOAD) && asked < beats;
    assign m_axi__araddr = registers[state == FETCH ? 6'h08 : 6'h0A] + asked * `DRAM_BYTES;
    assign m_axi__arlen = least(beats - asked, BURST) - 1;
    assign m_axi__awvalid = state == SAVE && asked < beats;
    assign m_axi__awaddr = registers[6'h0B] + asked * `DRAM_BYTES;
    assign m_axi__awlen = least(beats - asked, BURST) - 1;
    assign m_axi__wvalid = state == SAVE && written < beats;
    assign m_axi__wdata = buffer[written[11:0]];
    assign m_axi__wlast = written % BURST == BURST - 1 || written == beats - 1;

    // ---- Phases ---------------------------------------------------------------------------------

    always_ff @(posedge clk) begin
        {trace__write_valid, trace__load_start, trace__load_done, trace__calc_start} <= '0;
        {trace__calc_done, trace__save_start, trace__save_done} <= '0;
        {trace__load_start_layer, trace__load_done_layer} <= '0;
        {trace__calc_start_layer, trace__calc_done_layer} <= {12'd1, 12'd1};
        {trace__save_start_layer, trace__save_done_layer} <= {12'd1, 12'd1};
        if (state != IDLE && state != DONE) cycles <= cycles + 1;
        if (m_axi__rvalid) begin
            got <= got + 1;
            if (m_axi__rresp != 0) error <= 32'h005;
        end
        if (m_axi__bvalid && m_axi__bresp != 0) error <= 32'h206;
        if (m_axi__arvalid && m_axi__arready || m_axi__awvalid && m_axi__awready)
            asked <= asked + least(beats - asked, BURST);
        if (m_axi__wvalid && m_axi__wready) written <= written + 1;
        if (m_axi__bvalid) acknowledged <= acknowledged + 1;
        case (state)
            IDLE: if (s_axi__awready && s_axi__awaddr == 8'h10 && s_axi__wdata[0]) begin
                state <= FETCH;
                {asked, got, written, acknowledged, error, total, cycles} <= '0;
            end
            FETCH: if (m_axi__rvalid) begin
                if (got == 0 && m_axi__rdata[31:0] != 32'h584E5944) error <= 32'h301;
                if (got == 16 / `DRAM_BYTES) total <= m_axi__rdata[8*(16 % `DRAM_BYTES)+:32];
                if (m_axi__rlast) begin
                    state <= error != 0 ? DONE : total == 0 ? HANG : LOAD;
                    {asked, got} <= '0;
                    trace__load_start <= error == 0;
                end
            end
            LOAD: begin
                if (m_axi__rvalid)
                    for (int i = 0; i < `DRAM_BYTES; i++)
                        buffer[got[11:0]][8*i+:8] <= m_axi__rdata[8*i+:8] + 1;
                if (got == beats) begin
                    state <= CALC;
                    got <= 0;
                    trace__load_done <= 1;
                    trace__calc_start <= 1;
                end
            end
            CALC: begin
                trace__write_valid <= 1;
                trace__write_row <= got[19:0];
                for (int i = 0; i < PARTS; i++)
                    trace__write_data[8*`DRAM_BYTES*i+:8*`DRAM_BYTES] <= buffer[12'(got * PARTS + i)];
                got <= got + 1;
                if (got == total - 1) begin
                    state <= SAVE;
                    asked <= 0;
                    trace__calc_done <= 1;
                    trace__save_start <= 1;
                end
            end
            SAVE: if (acknowledged == (beats + BURST - 1) / BURST) begin
                state <= DONE;
                trace__save_done <= 1;
            end
            DONE: begin
                interrupt <= 1;
                if (s_axi__awready && s_axi__awaddr == 8'h14 && s_axi__wdata[1]) begin
                    state <= IDLE;
                    interrupt <= 0;
                end
            end
            default: ;
        endcase
        if (error != 0 && state == LOAD && got == beats) state <= DONE;
        if (rst) begin
            state <= IDLE;
            interrupt <= 0;
        end
    end
endmodule
