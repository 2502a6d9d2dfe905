// A clock, until the simulation finishes; for tops that need nothing else.

#include <memory>

#include "Vtop.h"
#include "verilated.h"

int main(int argc, char** argv) {
    const auto context = std::make_unique<VerilatedContext>();
    context->commandArgs(argc, argv);
    Vtop top{context.get()};
    while (!context->gotFinish()) {
        top.clk = 0;
        top.eval();
        top.clk = 1;
        top.eval();
    }
    top.final();
    return 0;
}
