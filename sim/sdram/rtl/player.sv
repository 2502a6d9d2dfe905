// Pins of the memory from the file +script, a line a cycle: `cke cs_n command ba a dqm oe dq` in
// hexadecimal, `command` being ras_n, cas_n, we_n. What the memory answers goes to +log, a line a
// cycle: whether it drives, and the data.

module player #(
    parameter int BANK_BITS = 2,
    parameter int ROW_BITS = 13,
    parameter int COLUMN_BITS = 9,
    parameter int DATA_BITS = 16
) (
    input logic clk
);
    logic cke = 0, cs_n = 1, dq_oe = 0;
    logic [2:0] command = 7;
    logic [BANK_BITS-1:0] ba = 0;
    logic [ROW_BITS-1:0] a = 0;
    logic [DATA_BITS/8-1:0] dqm = 0;
    logic [DATA_BITS-1:0] dq = 0, dq_o;
    logic drives;
    int script, log;
    string name;

    initial begin
        if (!$value$plusargs("script=%s", name)) $fatal(1, "player: no +script");
        script = $fopen(name, "r");
        if (!$value$plusargs("log=%s", name)) $fatal(1, "player: no +log");
        log = $fopen(name, "w");
    end

    always @(posedge clk) begin
        logic next_cke, next_cs_n, next_oe;
        logic [2:0] next_command;
        logic [BANK_BITS-1:0] next_ba;
        logic [ROW_BITS-1:0] next_a;
        logic [DATA_BITS/8-1:0] next_dqm;
        logic [DATA_BITS-1:0] next_dq;
        $fwrite(log, "%0d %x\n", drives, dq_o);
        if ($fscanf(script, "%x %x %x %x %x %x %x %x\n", next_cke, next_cs_n, next_command, next_ba,
                    next_a, next_dqm, next_oe, next_dq) != 8) begin
            $fclose(log);
            $finish;
        end
        cke <= next_cke;
        cs_n <= next_cs_n;
        command <= next_command;
        ba <= next_ba;
        a <= next_a;
        dqm <= next_dqm;
        dq_oe <= next_oe;
        dq <= next_dq;
    end

    sdram #(.BANK_BITS(BANK_BITS), .ROW_BITS(ROW_BITS), .COLUMN_BITS(COLUMN_BITS),
            .DATA_BITS(DATA_BITS)) chip (
        .clk, .cke, .cs_n, .ras_n(command[2]), .cas_n(command[1]), .we_n(command[0]), .ba, .a, .dqm,
        .dq_i(dq), .dq_oe, .dq_o, .drives);
endmodule
