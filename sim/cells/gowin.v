// Models of Gowin cells, as far as dynafix uses them: resets are not modelled.
// Source: Gowin, Arora and LittleBee DSP User Guide, UG287, and BSRAM and SSRAM User Guide, UG285.

// A multiplier of any width.
module gowin_multiplier #(
    parameter WIDTH = 9, AREG = 1'b0, BREG = 1'b0, PIPE_REG = 1'b0, OUT_REG = 1'b0
) (
    input [WIDTH-1:0] A, B, input ASIGN, BSIGN, CE, CLK, output [2*WIDTH-1:0] DOUT
);
    wire signed [WIDTH:0] a_now = {ASIGN & A[WIDTH-1], A}, b_now = {BSIGN & B[WIDTH-1], B};
    reg signed [WIDTH:0] a_reg, b_reg;
    wire signed [WIDTH:0] a_used = AREG ? a_reg : a_now, b_used = BREG ? b_reg : b_now;
    wire signed [2*WIDTH+1:0] product = a_used * b_used;
    reg [2*WIDTH-1:0] pipe_reg, out_reg;
    wire [2*WIDTH-1:0] passed = PIPE_REG ? pipe_reg : product[2*WIDTH-1:0];

    always @(posedge CLK)
        if (CE) begin
            a_reg <= a_now;
            b_reg <= b_now;
            pipe_reg <= product[2*WIDTH-1:0];
            out_reg <= passed;
        end

    assign DOUT = OUT_REG ? out_reg : passed;
endmodule

module MULT9X9 #(
    parameter AREG = 1'b0, BREG = 1'b0, PIPE_REG = 1'b0, OUT_REG = 1'b0,
    parameter ASIGN_REG = 1'b0, BSIGN_REG = 1'b0, SOA_REG = 1'b0, MULT_RESET_MODE = "SYNC"
) (
    input [8:0] A, B, SIA, SIB, input ASIGN, BSIGN, ASEL, BSEL, CE, CLK, RESET,
    output [17:0] DOUT, output [8:0] SOA, SOB
);
    gowin_multiplier #(9, AREG, BREG, PIPE_REG, OUT_REG) multiplier (
        .A(A), .B(B), .ASIGN(ASIGN), .BSIGN(BSIGN), .CE(CE), .CLK(CLK), .DOUT(DOUT));
endmodule

module MULT18X18 #(
    parameter AREG = 1'b0, BREG = 1'b0, PIPE_REG = 1'b0, OUT_REG = 1'b0,
    parameter ASIGN_REG = 1'b0, BSIGN_REG = 1'b0, SOA_REG = 1'b0, MULT_RESET_MODE = "SYNC"
) (
    input [17:0] A, B, SIA, SIB, input ASIGN, BSIGN, ASEL, BSEL, CE, CLK, RESET,
    output [35:0] DOUT, output [17:0] SOA, SOB
);
    gowin_multiplier #(18, AREG, BREG, PIPE_REG, OUT_REG) multiplier (
        .A(A), .B(B), .ASIGN(ASIGN), .BSIGN(BSIGN), .CE(CE), .CLK(CLK), .DOUT(DOUT));
endmodule

// Words of 9, 18 or 36 bits; from 18 bits on the lowest bits of ADA are byte enables.
module SDPX9B #(
    parameter READ_MODE = 1'b0, BIT_WIDTH_0 = 36, BIT_WIDTH_1 = 36,
    parameter BLK_SEL_0 = 3'b0, BLK_SEL_1 = 3'b0, RESET_MODE = "SYNC",
    parameter [287:0]
        INIT_RAM_00 = 0, INIT_RAM_01 = 0, INIT_RAM_02 = 0, INIT_RAM_03 = 0, INIT_RAM_04 = 0,
        INIT_RAM_05 = 0, INIT_RAM_06 = 0, INIT_RAM_07 = 0, INIT_RAM_08 = 0, INIT_RAM_09 = 0,
        INIT_RAM_0A = 0, INIT_RAM_0B = 0, INIT_RAM_0C = 0, INIT_RAM_0D = 0, INIT_RAM_0E = 0,
        INIT_RAM_0F = 0, INIT_RAM_10 = 0, INIT_RAM_11 = 0, INIT_RAM_12 = 0, INIT_RAM_13 = 0,
        INIT_RAM_14 = 0, INIT_RAM_15 = 0, INIT_RAM_16 = 0, INIT_RAM_17 = 0, INIT_RAM_18 = 0,
        INIT_RAM_19 = 0, INIT_RAM_1A = 0, INIT_RAM_1B = 0, INIT_RAM_1C = 0, INIT_RAM_1D = 0,
        INIT_RAM_1E = 0, INIT_RAM_1F = 0, INIT_RAM_20 = 0, INIT_RAM_21 = 0, INIT_RAM_22 = 0,
        INIT_RAM_23 = 0, INIT_RAM_24 = 0, INIT_RAM_25 = 0, INIT_RAM_26 = 0, INIT_RAM_27 = 0,
        INIT_RAM_28 = 0, INIT_RAM_29 = 0, INIT_RAM_2A = 0, INIT_RAM_2B = 0, INIT_RAM_2C = 0,
        INIT_RAM_2D = 0, INIT_RAM_2E = 0, INIT_RAM_2F = 0, INIT_RAM_30 = 0, INIT_RAM_31 = 0,
        INIT_RAM_32 = 0, INIT_RAM_33 = 0, INIT_RAM_34 = 0, INIT_RAM_35 = 0, INIT_RAM_36 = 0,
        INIT_RAM_37 = 0, INIT_RAM_38 = 0, INIT_RAM_39 = 0, INIT_RAM_3A = 0, INIT_RAM_3B = 0,
        INIT_RAM_3C = 0, INIT_RAM_3D = 0, INIT_RAM_3E = 0, INIT_RAM_3F = 0
) (
    input CLKA, CEA, RESETA, input [13:0] ADA, input [35:0] DI, input [2:0] BLKSELA,
    input CLKB, CEB, OCE, RESETB, input [13:0] ADB, input [2:0] BLKSELB, output [35:0] DO
);
    block_ram #(
        .WIDTH(BIT_WIDTH_0), .REGISTERED(READ_MODE), .INIT({
            INIT_RAM_3F, INIT_RAM_3E, INIT_RAM_3D, INIT_RAM_3C, INIT_RAM_3B, INIT_RAM_3A,
            INIT_RAM_39, INIT_RAM_38, INIT_RAM_37, INIT_RAM_36, INIT_RAM_35, INIT_RAM_34,
            INIT_RAM_33, INIT_RAM_32, INIT_RAM_31, INIT_RAM_30, INIT_RAM_2F, INIT_RAM_2E,
            INIT_RAM_2D, INIT_RAM_2C, INIT_RAM_2B, INIT_RAM_2A, INIT_RAM_29, INIT_RAM_28,
            INIT_RAM_27, INIT_RAM_26, INIT_RAM_25, INIT_RAM_24, INIT_RAM_23, INIT_RAM_22,
            INIT_RAM_21, INIT_RAM_20, INIT_RAM_1F, INIT_RAM_1E, INIT_RAM_1D, INIT_RAM_1C,
            INIT_RAM_1B, INIT_RAM_1A, INIT_RAM_19, INIT_RAM_18, INIT_RAM_17, INIT_RAM_16,
            INIT_RAM_15, INIT_RAM_14, INIT_RAM_13, INIT_RAM_12, INIT_RAM_11, INIT_RAM_10,
            INIT_RAM_0F, INIT_RAM_0E, INIT_RAM_0D, INIT_RAM_0C, INIT_RAM_0B, INIT_RAM_0A,
            INIT_RAM_09, INIT_RAM_08, INIT_RAM_07, INIT_RAM_06, INIT_RAM_05, INIT_RAM_04,
            INIT_RAM_03, INIT_RAM_02, INIT_RAM_01, INIT_RAM_00})
    ) ram (
        .w_clk(CLKA), .w_en(CEA ? BIT_WIDTH_0 > 9 ? ADA[3:0] : 4'b1 : 4'b0), .w_address(ADA),
        .w_data(DI), .r_clk(CLKB), .r_en(CEB), .r_address(ADB), .o_en(OCE), .r_data(DO));
endmodule

// Words of 1, 2 or 4 bits.
module SDPB #(
    parameter READ_MODE = 1'b0, BIT_WIDTH_0 = 32, BIT_WIDTH_1 = 32,
    parameter BLK_SEL_0 = 3'b0, BLK_SEL_1 = 3'b0, RESET_MODE = "SYNC",
    parameter [255:0]
        INIT_RAM_00 = 0, INIT_RAM_01 = 0, INIT_RAM_02 = 0, INIT_RAM_03 = 0, INIT_RAM_04 = 0,
        INIT_RAM_05 = 0, INIT_RAM_06 = 0, INIT_RAM_07 = 0, INIT_RAM_08 = 0, INIT_RAM_09 = 0,
        INIT_RAM_0A = 0, INIT_RAM_0B = 0, INIT_RAM_0C = 0, INIT_RAM_0D = 0, INIT_RAM_0E = 0,
        INIT_RAM_0F = 0, INIT_RAM_10 = 0, INIT_RAM_11 = 0, INIT_RAM_12 = 0, INIT_RAM_13 = 0,
        INIT_RAM_14 = 0, INIT_RAM_15 = 0, INIT_RAM_16 = 0, INIT_RAM_17 = 0, INIT_RAM_18 = 0,
        INIT_RAM_19 = 0, INIT_RAM_1A = 0, INIT_RAM_1B = 0, INIT_RAM_1C = 0, INIT_RAM_1D = 0,
        INIT_RAM_1E = 0, INIT_RAM_1F = 0, INIT_RAM_20 = 0, INIT_RAM_21 = 0, INIT_RAM_22 = 0,
        INIT_RAM_23 = 0, INIT_RAM_24 = 0, INIT_RAM_25 = 0, INIT_RAM_26 = 0, INIT_RAM_27 = 0,
        INIT_RAM_28 = 0, INIT_RAM_29 = 0, INIT_RAM_2A = 0, INIT_RAM_2B = 0, INIT_RAM_2C = 0,
        INIT_RAM_2D = 0, INIT_RAM_2E = 0, INIT_RAM_2F = 0, INIT_RAM_30 = 0, INIT_RAM_31 = 0,
        INIT_RAM_32 = 0, INIT_RAM_33 = 0, INIT_RAM_34 = 0, INIT_RAM_35 = 0, INIT_RAM_36 = 0,
        INIT_RAM_37 = 0, INIT_RAM_38 = 0, INIT_RAM_39 = 0, INIT_RAM_3A = 0, INIT_RAM_3B = 0,
        INIT_RAM_3C = 0, INIT_RAM_3D = 0, INIT_RAM_3E = 0, INIT_RAM_3F = 0
) (
    input CLKA, CEA, RESETA, input [13:0] ADA, input [31:0] DI, input [2:0] BLKSELA,
    input CLKB, CEB, OCE, RESETB, input [13:0] ADB, input [2:0] BLKSELB, output [31:0] DO
);
    // Each byte with a ninth bit that is not used.
    localparam [64 * 256 - 1:0] BYTES = {
        INIT_RAM_3F, INIT_RAM_3E, INIT_RAM_3D, INIT_RAM_3C, INIT_RAM_3B, INIT_RAM_3A, INIT_RAM_39,
        INIT_RAM_38, INIT_RAM_37, INIT_RAM_36, INIT_RAM_35, INIT_RAM_34, INIT_RAM_33, INIT_RAM_32,
        INIT_RAM_31, INIT_RAM_30, INIT_RAM_2F, INIT_RAM_2E, INIT_RAM_2D, INIT_RAM_2C, INIT_RAM_2B,
        INIT_RAM_2A, INIT_RAM_29, INIT_RAM_28, INIT_RAM_27, INIT_RAM_26, INIT_RAM_25, INIT_RAM_24,
        INIT_RAM_23, INIT_RAM_22, INIT_RAM_21, INIT_RAM_20, INIT_RAM_1F, INIT_RAM_1E, INIT_RAM_1D,
        INIT_RAM_1C, INIT_RAM_1B, INIT_RAM_1A, INIT_RAM_19, INIT_RAM_18, INIT_RAM_17, INIT_RAM_16,
        INIT_RAM_15, INIT_RAM_14, INIT_RAM_13, INIT_RAM_12, INIT_RAM_11, INIT_RAM_10, INIT_RAM_0F,
        INIT_RAM_0E, INIT_RAM_0D, INIT_RAM_0C, INIT_RAM_0B, INIT_RAM_0A, INIT_RAM_09, INIT_RAM_08,
        INIT_RAM_07, INIT_RAM_06, INIT_RAM_05, INIT_RAM_04, INIT_RAM_03, INIT_RAM_02, INIT_RAM_01,
        INIT_RAM_00};
    function [2048 * 9 - 1:0] spread(input [64 * 256 - 1:0] bytes);
        integer number;
        begin
            spread = 0;
            for (number = 0; number < 2048; number = number + 1)
                spread[9 * number+:8] = bytes[8 * number+:8];
        end
    endfunction

    wire [35:0] word;
    assign DO = word[31:0];
    block_ram #(.WIDTH(BIT_WIDTH_0), .REGISTERED(READ_MODE), .INIT(spread(BYTES))) ram (
        .w_clk(CLKA), .w_en({3'b0, CEA}), .w_address(ADA), .w_data({4'b0, DI}),
        .r_clk(CLKB), .r_en(CEB), .r_address(ADB), .o_en(OCE), .r_data(word));
endmodule
