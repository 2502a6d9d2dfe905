// Models of ECP5 cells, as far as dynafix and Yosys use them: posedge clocks, synchronous resets.
// Source: Lattice, ECP5 and ECP5-5G sysDSP Usage Guide, FPGA-TN-02205, and Memory Usage Guide,
// FPGA-TN-02204.

// Registers of both factors, of the product and of the output, each there unless its clock is
// "NONE"; every clock enable and reset is one of four.
module MULT18X18D #(
    parameter REG_INPUTA_CLK = "NONE", REG_INPUTA_CE = "CE0", REG_INPUTA_RST = "RST0",
    parameter REG_INPUTB_CLK = "NONE", REG_INPUTB_CE = "CE0", REG_INPUTB_RST = "RST0",
    parameter REG_INPUTC_CLK = "NONE", REG_INPUTC_CE = "CE0", REG_INPUTC_RST = "RST0",
    parameter REG_PIPELINE_CLK = "NONE", REG_PIPELINE_CE = "CE0", REG_PIPELINE_RST = "RST0",
    parameter REG_OUTPUT_CLK = "NONE", REG_OUTPUT_CE = "CE0", REG_OUTPUT_RST = "RST0",
    parameter GSR = "ENABLED", RESETMODE = "SYNC", SOURCEB_MODE = "B_SHIFT",
    parameter MULT_BYPASS = "DISABLED"
) (
    input A0, A1, A2, A3, A4, A5, A6, A7, A8, A9, A10, A11, A12, A13, A14, A15, A16, A17,
    input B0, B1, B2, B3, B4, B5, B6, B7, B8, B9, B10, B11, B12, B13, B14, B15, B16, B17,
    input C0, C1, C2, C3, C4, C5, C6, C7, C8, C9, C10, C11, C12, C13, C14, C15, C16, C17,
    input SIGNEDA, SIGNEDB, SOURCEA, SOURCEB, CLK0, CLK1, CLK2, CLK3, CE0, CE1, CE2, CE3, RST0,
          RST1, RST2, RST3,
    output P0, P1, P2, P3, P4, P5, P6, P7, P8, P9, P10, P11, P12, P13, P14, P15, P16, P17, P18,
           P19, P20, P21, P22, P23, P24, P25, P26, P27, P28, P29, P30, P31, P32, P33, P34, P35
);
    wire [17:0] a = {
        A17, A16, A15, A14, A13, A12, A11, A10, A9, A8, A7, A6, A5, A4, A3, A2, A1, A0};
    wire [17:0] b = {
        B17, B16, B15, B14, B13, B12, B11, B10, B9, B8, B7, B6, B5, B4, B3, B2, B1, B0};
    wire [3:0] ce = {CE3, CE2, CE1, CE0}, rst = {RST3, RST2, RST1, RST0};

    // Of CE0 to CE3 and RST0 to RST3, the number.
    function [1:0] place(input [31:0] name);
        place = name[1:0];
    endfunction

    // Each factor with its sign, so that all products are signed.
    reg signed [18:0] a_reg, b_reg;
    wire signed [18:0] a_now = {SIGNEDA & a[17], a}, b_now = {SIGNEDB & b[17], b};
    wire signed [18:0] a_used = REG_INPUTA_CLK == "NONE" ? a_now : a_reg;
    wire signed [18:0] b_used = REG_INPUTB_CLK == "NONE" ? b_now : b_reg;
    wire signed [37:0] product = a_used * b_used;
    reg [35:0] pipeline_reg, output_reg;
    wire [35:0] passed = REG_PIPELINE_CLK == "NONE" ? product[35:0] : pipeline_reg;

    always @(posedge CLK0) begin
        if (rst[place(REG_INPUTA_RST)]) a_reg <= 0;
        else if (ce[place(REG_INPUTA_CE)]) a_reg <= a_now;
        if (rst[place(REG_INPUTB_RST)]) b_reg <= 0;
        else if (ce[place(REG_INPUTB_CE)]) b_reg <= b_now;
        if (rst[place(REG_PIPELINE_RST)]) pipeline_reg <= 0;
        else if (ce[place(REG_PIPELINE_CE)]) pipeline_reg <= product[35:0];
        if (rst[place(REG_OUTPUT_RST)]) output_reg <= 0;
        else if (ce[place(REG_OUTPUT_CE)]) output_reg <= passed;
    end

    assign {
        P35, P34, P33, P32, P31, P30, P29, P28, P27, P26, P25, P24, P23, P22, P21, P20, P19, P18,
        P17, P16, P15, P14, P13, P12, P11, P10, P9, P8, P7, P6, P5, P4, P3, P2, P1, P0
    } = REG_OUTPUT_CLK == "NONE" ? passed : output_reg;
endmodule

// 2048 bytes of 9 bits; ports of 1 to 4 bits use 8 of each. A port of 36 bits writes through A and
// reads through B, with the data pins of both. What one port reads while the other one writes it
// comes out inverted: nobody may ask.
module DP16KD #(
    parameter DATA_WIDTH_A = 18, DATA_WIDTH_B = 18,
    parameter REGMODE_A = "NOREG", REGMODE_B = "NOREG",
    parameter WRITEMODE_A = "NORMAL", WRITEMODE_B = "NORMAL",
    parameter RESETMODE = "SYNC", ASYNC_RESET_RELEASE = "SYNC", GSR = "ENABLED",
    parameter CSDECODE_A = "0b000", CSDECODE_B = "0b000",
    parameter CLKAMUX = "CLKA", CLKBMUX = "CLKB",
    parameter [319:0]
        INITVAL_00 = 0, INITVAL_01 = 0, INITVAL_02 = 0, INITVAL_03 = 0, INITVAL_04 = 0,
        INITVAL_05 = 0, INITVAL_06 = 0, INITVAL_07 = 0, INITVAL_08 = 0, INITVAL_09 = 0,
        INITVAL_0A = 0, INITVAL_0B = 0, INITVAL_0C = 0, INITVAL_0D = 0, INITVAL_0E = 0,
        INITVAL_0F = 0, INITVAL_10 = 0, INITVAL_11 = 0, INITVAL_12 = 0, INITVAL_13 = 0,
        INITVAL_14 = 0, INITVAL_15 = 0, INITVAL_16 = 0, INITVAL_17 = 0, INITVAL_18 = 0,
        INITVAL_19 = 0, INITVAL_1A = 0, INITVAL_1B = 0, INITVAL_1C = 0, INITVAL_1D = 0,
        INITVAL_1E = 0, INITVAL_1F = 0, INITVAL_20 = 0, INITVAL_21 = 0, INITVAL_22 = 0,
        INITVAL_23 = 0, INITVAL_24 = 0, INITVAL_25 = 0, INITVAL_26 = 0, INITVAL_27 = 0,
        INITVAL_28 = 0, INITVAL_29 = 0, INITVAL_2A = 0, INITVAL_2B = 0, INITVAL_2C = 0,
        INITVAL_2D = 0, INITVAL_2E = 0, INITVAL_2F = 0, INITVAL_30 = 0, INITVAL_31 = 0,
        INITVAL_32 = 0, INITVAL_33 = 0, INITVAL_34 = 0, INITVAL_35 = 0, INITVAL_36 = 0,
        INITVAL_37 = 0, INITVAL_38 = 0, INITVAL_39 = 0, INITVAL_3A = 0, INITVAL_3B = 0,
        INITVAL_3C = 0, INITVAL_3D = 0, INITVAL_3E = 0, INITVAL_3F = 0
) (
    input DIA0, DIA1, DIA2, DIA3, DIA4, DIA5, DIA6, DIA7, DIA8, DIA9, DIA10, DIA11, DIA12, DIA13,
          DIA14, DIA15, DIA16, DIA17,
    input ADA0, ADA1, ADA2, ADA3, ADA4, ADA5, ADA6, ADA7, ADA8, ADA9, ADA10, ADA11, ADA12, ADA13,
    input CLKA, CEA, OCEA, WEA, RSTA, CSA0, CSA1, CSA2,
    output DOA0, DOA1, DOA2, DOA3, DOA4, DOA5, DOA6, DOA7, DOA8, DOA9, DOA10, DOA11, DOA12, DOA13,
           DOA14, DOA15, DOA16, DOA17,
    input DIB0, DIB1, DIB2, DIB3, DIB4, DIB5, DIB6, DIB7, DIB8, DIB9, DIB10, DIB11, DIB12, DIB13,
          DIB14, DIB15, DIB16, DIB17,
    input ADB0, ADB1, ADB2, ADB3, ADB4, ADB5, ADB6, ADB7, ADB8, ADB9, ADB10, ADB11, ADB12, ADB13,
    input CLKB, CEB, OCEB, WEB, RSTB, CSB0, CSB1, CSB2,
    output DOB0, DOB1, DOB2, DOB3, DOB4, DOB5, DOB6, DOB7, DOB8, DOB9, DOB10, DOB11, DOB12, DOB13,
           DOB14, DOB15, DOB16, DOB17
);
    wire [17:0] dia = {
        DIA17, DIA16, DIA15, DIA14, DIA13, DIA12, DIA11, DIA10, DIA9, DIA8, DIA7, DIA6, DIA5, DIA4,
        DIA3, DIA2, DIA1, DIA0};
    wire [17:0] dib = {
        DIB17, DIB16, DIB15, DIB14, DIB13, DIB12, DIB11, DIB10, DIB9, DIB8, DIB7, DIB6, DIB5, DIB4,
        DIB3, DIB2, DIB1, DIB0};
    wire [13:0] ada = {
        ADA13, ADA12, ADA11, ADA10, ADA9, ADA8, ADA7, ADA6, ADA5, ADA4, ADA3, ADA2, ADA1, ADA0};
    wire [13:0] adb = {
        ADB13, ADB12, ADB11, ADB10, ADB9, ADB8, ADB7, ADB6, ADB5, ADB4, ADB3, ADB2, ADB1, ADB0};

    localparam integer BYTES_A = DATA_WIDTH_A == 36 ? 4 : DATA_WIDTH_A == 18 ? 2 : 1;
    localparam integer BYTES_B = DATA_WIDTH_B == 36 ? 4 : DATA_WIDTH_B == 18 ? 2 : 1;
    localparam [8:0] BITS_A = DATA_WIDTH_A < 9 ? (1 << DATA_WIDTH_A) - 1 : 511;
    localparam [8:0] BITS_B = DATA_WIDTH_B < 9 ? (1 << DATA_WIDTH_B) - 1 : 511;

    wire on_a = CEA & ~(CSA0 | CSA1 | CSA2), on_b = CEB & ~(CSB0 | CSB1 | CSB2);

    // The lowest byte of a word, the place of a narrow word in its byte, and what is written.
    wire [10:0] byte_a = ada[13:3] & ~(BYTES_A[10:0] - 11'd1);
    wire [10:0] byte_b = adb[13:3] & ~(BYTES_B[10:0] - 11'd1);
    wire [2:0] place_a = DATA_WIDTH_A < 9 ? ada[2:0] & ~(BITS_A[2:0] >> 1) : 0;
    wire [2:0] place_b = DATA_WIDTH_B < 9 ? adb[2:0] & ~(BITS_B[2:0] >> 1) : 0;
    wire [3:0] we_a = on_a & WEA ? (BYTES_A == 1 ? 4'b1 : ada[3:0]) : 4'b0;
    wire [3:0] we_b = on_b & WEB ? (BYTES_B == 1 ? 4'b1 : adb[3:0]) : 4'b0;
    wire [8:0] bits_a = BITS_A << place_a, bits_b = BITS_B << place_b;
    wire [35:0] i_a = {DATA_WIDTH_A == 36 ? dib : 18'b0, dia} << place_a;
    wire [35:0] i_b = {18'b0, dib} << place_b;

    // verilator lint_off MULTIDRIVEN
    reg [8:0] mem [0:2047];
    // verilator lint_on MULTIDRIVEN
    reg [35:0] latch_a, latch_b, output_a, output_b;

    // A byte as one port sees it when it reads, with the bits that the other one writes inverted.
    function [8:0] seen(
        input [8:0] stored, input [10:0] at,
        input [10:0] other, input [3:0] we, input integer bytes, input [8:0] bits);
        seen = stored;
        if (at >= other && at - other < bytes[10:0] && we[at[1:0] - other[1:0]])
            seen = stored ^ bits;
    endfunction

    integer k, n;
    always @(posedge CLKA) begin
        for (k = 0; k < BYTES_A; k = k + 1) begin
            if (we_a[k])
                mem[byte_a + k[10:0]] <=
                    (mem[byte_a + k[10:0]] & ~bits_a) | (i_a[9 * k+:9] & bits_a);
            if (RSTA)
                latch_a <= 0;
            else if (on_a && (!WEA || WRITEMODE_A != "NORMAL"))
                latch_a[9 * k+:9] <= (
                    WEA && we_a[k] && WRITEMODE_A == "WRITETHROUGH" ? i_a[9 * k+:9] & bits_a
                    : seen(mem[byte_a + k[10:0]], byte_a + k[10:0], byte_b, we_b, BYTES_B, bits_b)
                        & bits_a) >> place_a;
        end
        if (OCEA) output_a <= RSTA ? 0 : latch_a;
    end
    always @(posedge CLKB) begin
        for (n = 0; n < BYTES_B; n = n + 1) begin
            if (we_b[n])
                mem[byte_b + n[10:0]] <=
                    (mem[byte_b + n[10:0]] & ~bits_b) | (i_b[9 * n+:9] & bits_b);
            if (RSTB)
                latch_b <= 0;
            else if (on_b && (!WEB || WRITEMODE_B != "NORMAL"))
                latch_b[9 * n+:9] <= (
                    WEB && we_b[n] && WRITEMODE_B == "WRITETHROUGH" ? i_b[9 * n+:9] & bits_b
                    : seen(mem[byte_b + n[10:0]], byte_b + n[10:0], byte_a, we_a, BYTES_A, bits_a)
                        & bits_b) >> place_b;
        end
        if (OCEB) output_b <= RSTB ? 0 : latch_b;
    end

    // 16 half words of 18 bits each in 320 bits.
    localparam [64 * 320 - 1:0] INITVAL = {
        INITVAL_3F, INITVAL_3E, INITVAL_3D, INITVAL_3C, INITVAL_3B, INITVAL_3A, INITVAL_39,
        INITVAL_38, INITVAL_37, INITVAL_36, INITVAL_35, INITVAL_34, INITVAL_33, INITVAL_32,
        INITVAL_31, INITVAL_30, INITVAL_2F, INITVAL_2E, INITVAL_2D, INITVAL_2C, INITVAL_2B,
        INITVAL_2A, INITVAL_29, INITVAL_28, INITVAL_27, INITVAL_26, INITVAL_25, INITVAL_24,
        INITVAL_23, INITVAL_22, INITVAL_21, INITVAL_20, INITVAL_1F, INITVAL_1E, INITVAL_1D,
        INITVAL_1C, INITVAL_1B, INITVAL_1A, INITVAL_19, INITVAL_18, INITVAL_17, INITVAL_16,
        INITVAL_15, INITVAL_14, INITVAL_13, INITVAL_12, INITVAL_11, INITVAL_10, INITVAL_0F,
        INITVAL_0E, INITVAL_0D, INITVAL_0C, INITVAL_0B, INITVAL_0A, INITVAL_09, INITVAL_08,
        INITVAL_07, INITVAL_06, INITVAL_05, INITVAL_04, INITVAL_03, INITVAL_02, INITVAL_01,
        INITVAL_00};
    integer word;
    initial begin
        for (word = 0; word < 2048; word = word + 1)
            mem[word] = INITVAL[20 * (word / 2) + 9 * (word % 2)+:9];
        latch_a = 0;
        latch_b = 0;
        output_a = 0;
        output_b = 0;
    end

    wire [17:0] upper = REGMODE_B == "OUTREG" ? output_b[35:18] : latch_b[35:18];
    wire [17:0] lower = REGMODE_B == "OUTREG" ? output_b[17:0] : latch_b[17:0];
    assign {
        DOB17, DOB16, DOB15, DOB14, DOB13, DOB12, DOB11, DOB10, DOB9, DOB8, DOB7, DOB6, DOB5, DOB4,
        DOB3, DOB2, DOB1, DOB0} =
        DATA_WIDTH_B == 36 ? upper : lower;
    assign {
        DOA17, DOA16, DOA15, DOA14, DOA13, DOA12, DOA11, DOA10, DOA9, DOA8, DOA7, DOA6, DOA5, DOA4,
        DOA3, DOA2, DOA1, DOA0} =
        DATA_WIDTH_B == 36 ? (REGMODE_A == "OUTREG" ? output_b[17:0] : latch_b[17:0])
        : REGMODE_A == "OUTREG" ? output_a[17:0] : latch_a[17:0];
endmodule

// TRELLIS_IO in one direction, without tri-state: T is low, or the pin floats high.
module TRELLIS_INPUT (input B, output O);
    assign O = B;
endmodule

module TRELLIS_OUTPUT (output B, input I, T);
    assign B = T | I;
endmodule

// Every output has the clock of the input: a simulation gives the pin the clock that the PLL would
// make of the oscillator's. The lock comes after 16 cycles.
module EHXPLLL #(
    parameter CLKI_DIV = 1, CLKFB_DIV = 1, FEEDBK_PATH = "CLKOP",
    parameter CLKOP_ENABLE = "ENABLED", CLKOP_DIV = 8, CLKOP_CPHASE = 0,
    parameter CLKOS_ENABLE = "DISABLED", CLKOS_DIV = 8, CLKOS_CPHASE = 0,
    parameter PLLRST_ENA = "DISABLED", STDBY_ENABLE = "DISABLED", INTFB_WAKE = "DISABLED",
    parameter DPHASE_SOURCE = "DISABLED", OUTDIVIDER_MUXA = "DIVA", OUTDIVIDER_MUXB = "DIVB"
) (
    input CLKI, CLKFB, RST, STDBY, PHASESEL0, PHASESEL1, PHASEDIR, PHASESTEP, PHASELOADREG,
          PLLWAKESYNC, ENCLKOP,
    output CLKOP, CLKOS, LOCK
);
    reg [4:0] cycles = 0;

    always @(posedge CLKI)
        if (!LOCK) cycles <= cycles + 1;

    assign CLKOP = CLKI;
    assign CLKOS = CLKI;
    assign LOCK = cycles[4];
endmodule

// Whole pulses only: the enable takes effect while the clock is low.
module DCCA (input CLKI, CE, output CLKO);
    reg enable = 0;

    // verilator lint_off LATCH
    always @* if (!CLKI) enable = CE;
    // verilator lint_on LATCH

    assign CLKO = CLKI & enable;
endmodule

package ecp5_global;
    bit reset = 0;
endpackage

module GSR (input GSR);
    always @* ecp5_global::reset = ~GSR;
endmodule

// A register that heeds the global reset stays set while that is there.
module TRELLIS_FF #(
    parameter GSR = "ENABLED", CEMUX = "1", CLKMUX = "CLK", LSRMUX = "LSR", SRMODE = "LSR_OVER_CE",
    parameter REGSET = "RESET"
) (
    input CLK, LSR, CE, DI, M,
    output reg Q
);
    localparam SET = REGSET == "SET";
    wire enable = CEMUX == "INV" ? ~CE : CEMUX == "CE" ? CE : 1'b1;
    wire clear = LSRMUX == "INV" ? ~LSR : LSR;

    initial Q = SET;
    always @(posedge CLK)
        if (GSR == "ENABLED" && ecp5_global::reset) Q <= SET;
        else if (clear && (SRMODE == "LSR_OVER_CE" || enable)) Q <= SET;
        else if (enable) Q <= DI;
endmodule
