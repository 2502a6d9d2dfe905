// Models of Xilinx 7 cells, as far as dynafix uses them: resets are not modelled.
// Source: Xilinx, 7 Series DSP48E1 Slice User Guide, UG479, and 7 Series FPGAs Memory Resources
// User Guide, UG473.

// The product of A and B, through registers A2, B2, M and P; with any other operation P is wrong.
module DSP48E1 #(
    parameter AREG = 1, ACASCREG = 1, BREG = 1, BCASCREG = 1, MREG = 1, PREG = 1, CREG = 1,
    parameter DREG = 1, ADREG = 1, INMODEREG = 1, OPMODEREG = 1, ALUMODEREG = 1, CARRYINREG = 1,
    parameter CARRYINSELREG = 1, USE_MULT = "MULTIPLY", USE_DPORT = "FALSE"
) (
    input CLK, input [29:0] A, input [17:0] B, input [47:0] C, input [24:0] D,
    input CEA1, CEA2, CEB1, CEB2, CEM, CEP, CEAD, CEALUMODE, CEC, CECARRYIN, CECTRL, CED, CEINMODE,
    input RSTA, RSTALLCARRYIN, RSTALUMODE, RSTB, RSTC, RSTCTRL, RSTD, RSTINMODE, RSTM, RSTP,
    input [6:0] OPMODE, input [3:0] ALUMODE, input [4:0] INMODE, input [2:0] CARRYINSEL,
    input CARRYIN, output [47:0] P
);
    reg signed [24:0] a_reg;
    reg signed [17:0] b_reg;
    reg signed [42:0] m_reg;
    reg [47:0] p_reg;
    wire signed [24:0] a_used = AREG != 0 ? a_reg : A[24:0];
    wire signed [17:0] b_used = BREG != 0 ? b_reg : B;
    wire signed [42:0] product = a_used * b_used;
    wire signed [42:0] m_used = MREG != 0 ? m_reg : product;
    wire multiplies = OPMODE == 7'b0000101 && ALUMODE == 0 && INMODE == 0 && CARRYINSEL == 0
        && !CARRYIN && AREG < 2 && BREG < 2;
    wire [47:0] sum = {{5{m_used[42]}}, m_used} ^ {48{!multiplies}};

    always @(posedge CLK) begin
        if (CEA2) a_reg <= A[24:0];
        if (CEB2) b_reg <= B;
        if (CEM) m_reg <= product;
        if (CEP) p_reg <= sum;
    end

    assign P = PREG != 0 ? p_reg : sum;
endmodule

// Port B writes and port A reads, each byte with its ninth bit among the P pins. Words of 36 bits
// take the data pins of both ports for both, the lower half those of A.
module RAMB18E1 #(
    parameter RAM_MODE = "TDP", READ_WIDTH_A = 0, READ_WIDTH_B = 0, WRITE_WIDTH_A = 0,
    parameter WRITE_WIDTH_B = 0, DOA_REG = 0, DOB_REG = 0, WRITE_MODE_A = "WRITE_FIRST",
    parameter WRITE_MODE_B = "WRITE_FIRST", SIM_DEVICE = "VIRTEX6",
    parameter [255:0]
        INIT_00 = 0, INIT_01 = 0, INIT_02 = 0, INIT_03 = 0, INIT_04 = 0, INIT_05 = 0, INIT_06 = 0,
        INIT_07 = 0, INIT_08 = 0, INIT_09 = 0, INIT_0A = 0, INIT_0B = 0, INIT_0C = 0, INIT_0D = 0,
        INIT_0E = 0, INIT_0F = 0, INIT_10 = 0, INIT_11 = 0, INIT_12 = 0, INIT_13 = 0, INIT_14 = 0,
        INIT_15 = 0, INIT_16 = 0, INIT_17 = 0, INIT_18 = 0, INIT_19 = 0, INIT_1A = 0, INIT_1B = 0,
        INIT_1C = 0, INIT_1D = 0, INIT_1E = 0, INIT_1F = 0, INIT_20 = 0, INIT_21 = 0, INIT_22 = 0,
        INIT_23 = 0, INIT_24 = 0, INIT_25 = 0, INIT_26 = 0, INIT_27 = 0, INIT_28 = 0, INIT_29 = 0,
        INIT_2A = 0, INIT_2B = 0, INIT_2C = 0, INIT_2D = 0, INIT_2E = 0, INIT_2F = 0, INIT_30 = 0,
        INIT_31 = 0, INIT_32 = 0, INIT_33 = 0, INIT_34 = 0, INIT_35 = 0, INIT_36 = 0, INIT_37 = 0,
        INIT_38 = 0, INIT_39 = 0, INIT_3A = 0, INIT_3B = 0, INIT_3C = 0, INIT_3D = 0, INIT_3E = 0,
        INIT_3F = 0,
    parameter [255:0]
        INITP_00 = 0, INITP_01 = 0, INITP_02 = 0, INITP_03 = 0, INITP_04 = 0, INITP_05 = 0,
        INITP_06 = 0, INITP_07 = 0
) (
    input CLKARDCLK, ENARDEN, REGCEAREGCE, RSTRAMARSTRAM, RSTREGARSTREG,
    input [13:0] ADDRARDADDR, input [15:0] DIADI, input [1:0] DIPADIP, WEA,
    input CLKBWRCLK, ENBWREN, REGCEB, RSTRAMB, RSTREGB,
    input [13:0] ADDRBWRADDR, input [15:0] DIBDI, input [1:0] DIPBDIP, input [3:0] WEBWE,
    output [15:0] DOADO, DOBDO, output [1:0] DOPADOP, DOPBDOP
);
    localparam [64 * 256 - 1:0] BYTES = {
        INIT_3F, INIT_3E, INIT_3D, INIT_3C, INIT_3B, INIT_3A, INIT_39, INIT_38, INIT_37, INIT_36,
        INIT_35, INIT_34, INIT_33, INIT_32, INIT_31, INIT_30, INIT_2F, INIT_2E, INIT_2D, INIT_2C,
        INIT_2B, INIT_2A, INIT_29, INIT_28, INIT_27, INIT_26, INIT_25, INIT_24, INIT_23, INIT_22,
        INIT_21, INIT_20, INIT_1F, INIT_1E, INIT_1D, INIT_1C, INIT_1B, INIT_1A, INIT_19, INIT_18,
        INIT_17, INIT_16, INIT_15, INIT_14, INIT_13, INIT_12, INIT_11, INIT_10, INIT_0F, INIT_0E,
        INIT_0D, INIT_0C, INIT_0B, INIT_0A, INIT_09, INIT_08, INIT_07, INIT_06, INIT_05, INIT_04,
        INIT_03, INIT_02, INIT_01, INIT_00};
    localparam [8 * 256 - 1:0] NINTHS = {
        INITP_07, INITP_06, INITP_05, INITP_04, INITP_03, INITP_02, INITP_01, INITP_00};
    function [2048 * 9 - 1:0] joined(input [64 * 256 - 1:0] bytes, input [8 * 256 - 1:0] ninths);
        integer number;
        for (number = 0; number < 2048; number = number + 1)
            joined[9 * number+:9] = {ninths[number], bytes[8 * number+:8]};
    endfunction

    wire wide = RAM_MODE == "SDP";
    wire [35:0] upper = {
        18'b0, DIPBDIP[1], DIBDI[15:8], DIPBDIP[0], DIBDI[7:0]};
    wire [35:0] whole = {
        DIPBDIP[1], DIBDI[15:8], DIPBDIP[0], DIBDI[7:0],
        DIPADIP[1], DIADI[15:8], DIPADIP[0], DIADI[7:0]};
    wire [35:0] word;
    block_ram #(
        .WIDTH(READ_WIDTH_A), .REGISTERED(DOA_REG), .INIT(joined(BYTES, NINTHS))
    ) ram (
        .w_clk(CLKBWRCLK), .w_en(ENBWREN ? WEBWE : 4'b0), .w_address(ADDRBWRADDR),
        .w_data(wide ? whole : upper), .r_clk(CLKARDCLK), .r_en(ENARDEN),
        .r_address(ADDRARDADDR), .o_en(REGCEAREGCE), .r_data(word));
    assign {
        DOPBDOP[1], DOBDO[15:8], DOPBDOP[0], DOBDO[7:0],
        DOPADOP[1], DOADO[15:8], DOPADOP[0], DOADO[7:0]} = word;
endmodule
