// One register in a valid/ready channel: no path through it within a cycle, half the throughput.
//
// It stands between the ports of `top` and the accelerator. Logic that depends on a port is
// evaluated by Verilator at every change of time; behind a register it is evaluated once a cycle.

module register_slice #(
    parameter int WIDTH = 32
) (
    input  logic             clk,
    input  logic             rst,
    input  logic [WIDTH-1:0] i_payload,
    input  logic             i_valid,
    output logic             i_ready,
    output logic [WIDTH-1:0] o_payload,
    output logic             o_valid,
    input  logic             o_ready
);
    assign i_ready = !o_valid;

    always_ff @(posedge clk) begin
        if (i_valid && i_ready) o_payload <= i_payload;
        o_valid <= o_valid ? !o_ready : i_valid;
        if (rst) o_valid <= 0;
    end
endmodule
