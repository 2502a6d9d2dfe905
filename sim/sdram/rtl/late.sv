// What a word read takes from the memory to the controller beyond the CAS latency: whole cycles, of
// registers in pads or of a long way.

module late #(
    parameter int CYCLES = 0,
    parameter int DATA_BITS = 16
) (
    input  logic                 clk,
    input  logic [DATA_BITS-1:0] i,
    output logic [DATA_BITS-1:0] o
);
    logic [CYCLES:0][DATA_BITS-1:0] words;

    always_comb words[0] = i;
    for (genvar n = 0; n < CYCLES; n++) begin : stage
        always_ff @(posedge clk) words[n+1] <= words[n];
    end
    assign o = words[CYCLES];
endmodule
