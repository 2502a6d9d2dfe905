// What is alike in block RAM of 18 kbit with a port that writes and one that reads: 2048 bytes of 9
// bits, of which words of 1 to 4 bits use 8; the lowest bits of the address do not count for wider
// ones. What is read while it is written comes out inverted: nobody may ask.
module block_ram #(
    parameter WIDTH = 36,            // of both ports: 1, 2, 4, 9, 18 or 36
    parameter REGISTERED = 1,        // whether there is an output register
    parameter [2048 * 9 - 1:0] INIT = 0
) (
    input w_clk, input [3:0] w_en, input [13:0] w_address, input [35:0] w_data,
    input r_clk, input r_en, input [13:0] r_address, input o_en, output [35:0] r_data
);
    localparam integer BYTES = WIDTH == 36 ? 4 : WIDTH == 18 ? 2 : 1;
    localparam [8:0] BITS = WIDTH < 9 ? (1 << WIDTH) - 1 : 511;

    wire [10:0] w_byte = w_address[13:3] & ~(BYTES[10:0] - 11'd1);
    wire [10:0] r_byte = r_address[13:3] & ~(BYTES[10:0] - 11'd1);
    wire [2:0] w_place = WIDTH < 9 ? w_address[2:0] & ~(BITS[2:0] >> 1) : 0;
    wire [2:0] r_place = WIDTH < 9 ? r_address[2:0] & ~(BITS[2:0] >> 1) : 0;
    wire [8:0] w_bits = BITS << w_place;
    wire [35:0] placed = w_data << w_place;

    reg [8:0] mem [0:2047];
    reg [35:0] latch, register;

    integer k, n;
    always @(posedge w_clk)
        for (k = 0; k < BYTES; k = k + 1)
            if (w_en[k])
                mem[w_byte + k[10:0]] <=
                    (mem[w_byte + k[10:0]] & ~w_bits) | (placed[9 * k+:9] & w_bits);
    always @(posedge r_clk) begin
        for (n = 0; n < BYTES; n = n + 1)
            if (r_en)
                latch[9 * n+:9] <=
                    (mem[r_byte + n[10:0]] ^ (w_en[n] && w_byte == r_byte ? w_bits : 9'd0))
                    >> r_place & BITS;
        if (o_en) register <= latch;
    end

    integer number;
    initial begin
        for (number = 0; number < 2048; number = number + 1)
            mem[number] = INIT[9 * number+:9];
        latch = 0;
        register = 0;
    end

    assign r_data = REGISTERED ? register : latch;
endmodule
