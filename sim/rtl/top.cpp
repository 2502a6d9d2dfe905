// The main program of cocotb, with a clock that runs without it.
//
// While `free_run` of the top module is 1, cycles follow each other here until `halted` rises: a clock
// made by cocotb costs as much as the accelerator. Meanwhile no callback is called and simulated time
// stands still; benches and waveforms that look at single cycles leave `free_run` alone.

#include "Vtop.h"

class FreeRunning final : public Vtop {
public:
    using Vtop::Vtop;

    void eval_step() {
        Vtop::eval_step();
        // Behind a rising edge, so that cocotb finds its clock as it left it.
        while (free_run && clk && !halted && !Verilated::gotFinish()) {
            clk = 0;
            Vtop::eval_step();
            clk = 1;
            Vtop::eval_step();
        }
    }
};

#define Vtop FreeRunning
#include "verilator.cpp"
