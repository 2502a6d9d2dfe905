// The design with SDRAM and its memory; outside are the serial line and the lamps.

module external #(
    parameter int READ_DELAY = 0,
    parameter int BANK_BITS = 2,
    parameter int ROW_BITS = 13,
    parameter int COLUMN_BITS = 9,
    parameter int DATA_BITS = 16
) (
    input  logic clk,
    input  logic rst,
    input  logic uart_rx,
    output logic uart_tx,
    output logic active,
    output logic interrupt
);
    logic cke, cs_n, ras_n, cas_n, we_n, dq_oe, drives;
    logic [BANK_BITS-1:0] ba;
    logic [ROW_BITS-1:0] a;
    logic [DATA_BITS/8-1:0] dqm;
    logic [DATA_BITS-1:0] dq_o, dq_i, dq_late;

    late #(.CYCLES(READ_DELAY), .DATA_BITS(DATA_BITS)) way (.clk, .i(dq_i), .o(dq_late));

    dynafix_external board (
        .clk, .rst, .uart_rx, .uart_tx, .active, .interrupt,
        .sdram__cke(cke), .sdram__cs_n(cs_n), .sdram__ras_n(ras_n), .sdram__cas_n(cas_n),
        .sdram__we_n(we_n), .sdram__ba(ba), .sdram__a(a), .sdram__dqm(dqm), .sdram__dq_o(dq_o),
        .sdram__dq_oe(dq_oe), .sdram__dq_i(dq_late));

    sdram #(.BANK_BITS(BANK_BITS), .ROW_BITS(ROW_BITS), .COLUMN_BITS(COLUMN_BITS),
            .DATA_BITS(DATA_BITS)) chip (
        .clk, .cke, .cs_n, .ras_n, .cas_n, .we_n, .ba, .a, .dqm, .dq_i(dq_o), .dq_oe, .dq_o(dq_i),
        .drives);
endmodule
