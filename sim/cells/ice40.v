// Models of iCE40 UltraPlus cells, as far as dynafix uses them: resets are not modelled.
// Source: Lattice, DSP Function Usage Guide for iCE40 Devices, FPGA-TN-02007, and iCE40 SPRAM Usage
// Guide, FPGA-TN-02022.

// One product of 16 bits by 16, and the adders behind its halves. The registers of its four parts
// are there together or not at all.
module SB_MAC16 #(
    parameter [0:0] A_REG = 0, B_REG = 0, C_REG = 0, D_REG = 0, A_SIGNED = 0, B_SIGNED = 0,
    parameter [0:0] TOP_8x8_MULT_REG = 0, BOT_8x8_MULT_REG = 0, PIPELINE_16x16_MULT_REG1 = 0,
    parameter [0:0] PIPELINE_16x16_MULT_REG2 = 0, MODE_8x8 = 0, NEG_TRIGGER = 0,
    parameter [1:0] TOPOUTPUT_SELECT = 0, TOPADDSUB_LOWERINPUT = 0, TOPADDSUB_CARRYSELECT = 0,
    parameter [0:0] TOPADDSUB_UPPERINPUT = 0,
    parameter [1:0] BOTOUTPUT_SELECT = 0, BOTADDSUB_LOWERINPUT = 0, BOTADDSUB_CARRYSELECT = 0,
    parameter [0:0] BOTADDSUB_UPPERINPUT = 0
) (
    input CLK, CE, input [15:0] A, B, C, D, input AHOLD, BHOLD, CHOLD, DHOLD,
    input IRSTTOP, IRSTBOT, ORSTTOP, ORSTBOT, OLOADTOP, OLOADBOT, ADDSUBTOP, ADDSUBBOT,
    input OHOLDTOP, OHOLDBOT, CI, ACCUMCI, SIGNEXTIN,
    output [31:0] O, output CO, ACCUMCO, SIGNEXTOUT
);
    reg [15:0] a_reg, b_reg, c_reg, d_reg, top_reg, bot_reg;
    reg [31:0] product_reg, delayed_reg;
    wire [15:0] a = A_REG ? a_reg : A, b = B_REG ? b_reg : B;
    wire [15:0] c = C_REG ? c_reg : C, d = D_REG ? d_reg : D;
    wire signed [16:0] signed_a = {A_SIGNED & a[15], a}, signed_b = {B_SIGNED & b[15], b};
    wire signed [33:0] full = signed_a * signed_b;
    wire [31:0] product = PIPELINE_16x16_MULT_REG1 ? product_reg : full[31:0];
    wire [31:0] delayed = PIPELINE_16x16_MULT_REG2 ? delayed_reg : product;

    // Inputs of the adders: 0 a factor, 2 a half of the product, 3 a sign.
    wire [15:0] bot_lower = BOTADDSUB_LOWERINPUT == 0 ? b
        : BOTADDSUB_LOWERINPUT == 2 ? delayed[15:0] : {16{SIGNEXTIN}};
    wire [15:0] bot_upper = BOTADDSUB_UPPERINPUT ? d : bot_reg;
    wire [15:0] top_lower = TOPADDSUB_LOWERINPUT == 0 ? a
        : TOPADDSUB_LOWERINPUT == 2 ? delayed[31:16] : {16{bot_lower[15]}};
    wire [15:0] top_upper = TOPADDSUB_UPPERINPUT ? c : top_reg;
    wire bot_in = BOTADDSUB_CARRYSELECT == 0 ? 1'b0 : BOTADDSUB_CARRYSELECT == 1 ? 1'b1
        : BOTADDSUB_CARRYSELECT == 2 ? ACCUMCI : CI;
    wire [16:0] bot_sum = bot_lower + (bot_upper ^ {16{ADDSUBBOT}}) + {16'b0, bot_in};
    wire top_in = TOPADDSUB_CARRYSELECT == 0 ? 1'b0 : TOPADDSUB_CARRYSELECT == 1 ? 1'b1
        : TOPADDSUB_CARRYSELECT == 2 ? bot_sum[16] : bot_sum[16] ^ ADDSUBBOT;
    wire [16:0] top_sum = top_lower + (top_upper ^ {16{ADDSUBTOP}}) + {16'b0, top_in};
    wire [15:0] top = OLOADTOP ? c : top_sum[15:0] ^ {16{ADDSUBTOP}};
    wire [15:0] bot = OLOADBOT ? d : bot_sum[15:0] ^ {16{ADDSUBBOT}};

    always @(posedge CLK)
        if (CE) begin
            if (!AHOLD) a_reg <= A;
            if (!BHOLD) b_reg <= B;
            if (!CHOLD) c_reg <= C;
            if (!DHOLD) d_reg <= D;
            product_reg <= full[31:0];
            delayed_reg <= product;
            if (!OHOLDTOP) top_reg <= top;
            if (!OHOLDBOT) bot_reg <= bot;
        end

    generate
        if (MODE_8x8 || TOP_8x8_MULT_REG != PIPELINE_16x16_MULT_REG1
                || BOT_8x8_MULT_REG != PIPELINE_16x16_MULT_REG1) begin : not_modelled
            initial $fatal(1, "SB_MAC16: this mode is not modelled");
        end
    endgenerate

    // 0 the sum, 1 its register, 3 the product.
    assign O[31:16] =
        TOPOUTPUT_SELECT == 0 ? top : TOPOUTPUT_SELECT == 1 ? top_reg : delayed[31:16];
    assign O[15:0] =
        BOTOUTPUT_SELECT == 0 ? bot : BOTOUTPUT_SELECT == 1 ? bot_reg : delayed[15:0];
    assign ACCUMCO = top_sum[16];
    assign CO = top_sum[16] ^ ADDSUBTOP;
    assign SIGNEXTOUT = top_lower[15];
endmodule

// 16384 words, with a write enable for each 4 bits. A write leaves anything at the output.
module SB_SPRAM256KA (
    input CLOCK, CHIPSELECT, WREN, input [13:0] ADDRESS, input [15:0] DATAIN, input [3:0] MASKWREN,
    input STANDBY, SLEEP, POWEROFF, output reg [15:0] DATAOUT
);
    reg [15:0] mem [0:16383];
    wire [15:0] mask = {{4{MASKWREN[3]}}, {4{MASKWREN[2]}}, {4{MASKWREN[1]}}, {4{MASKWREN[0]}}};

    always @(posedge CLOCK)
        if (CHIPSELECT) begin
            if (WREN) mem[ADDRESS] <= (mem[ADDRESS] & ~mask) | (DATAIN & mask);
            DATAOUT <= WREN ? ~DATAOUT : mem[ADDRESS];
        end

    integer number;
    initial
        for (number = 0; number < 16384; number = number + 1)
            mem[number] = 0;
endmodule
