// A design with a serial line, and the other end of that line on standard input and output.
//
// Usage: PROGRAM DIVISOR [+OPTION...]. What the simulation prints goes to standard error. Requests, numbers little-endian:
//   w SIZE:4 BYTES         send bytes, ten bits of DIVISOR cycles each
//   l CYCLES:4 LEVEL:1     hold the line at a level, for what no sender of bytes would do
//   r SIZE:4 CYCLES:4      run until SIZE bytes have come, or for CYCLES cycles nothing has and
//                          nothing is left to send; answered by COUNT:4 BYTES, at most SIZE
//   c                      answered by the cycles so far, CYCLES:8
// What is to be sent is sent while a read runs. The program ends with its input, and with exit code
// 3 when a byte comes without its stop bit.

#include "Vtop.h"
#include "verilated.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <memory>

#include <unistd.h>

namespace {

FILE *answers;

struct Level {
    bool high;
    uint32_t cycles;
};

class Line {
public:
    Line(Vtop &top, uint32_t divisor) : top_(top), divisor_(divisor) {}

    void send(uint8_t byte) {
        hold(false, divisor_);
        for (int bit = 0; bit < 8; ++bit) hold(byte >> bit & 1, divisor_);
        hold(true, divisor_);
    }

    void hold(bool high, uint32_t cycles) {
        if (cycles) levels_.push_back({high, cycles});
    }

    void run(size_t size, uint32_t cycles) {
        for (uint32_t idle = 0; received.size() < size && idle < cycles; ++idle) {
            size_t before = received.size();
            bool sending = !levels_.empty();
            cycle();
            if (sending || received.size() != before) idle = 0;
        }
    }

    std::deque<uint8_t> received;
    uint64_t cycles = 0;

private:
    void cycle() {
        top_.uart_rx = levels_.empty() || levels_.front().high;
        if (!levels_.empty() && --levels_.front().cycles == 0) levels_.pop_front();
        top_.clk = 0;
        top_.eval();
        top_.clk = 1;
        top_.eval();
        ++cycles;
        receive(top_.uart_tx);
    }

    // Looks at the middle of each bit, from the start bit's edge on.
    void receive(bool level) {
        if (!phase_) {
            if (level) return;
            phase_ = 1;
            return;
        }
        uint32_t bit = phase_ / divisor_;
        if (phase_++ % divisor_ != divisor_ / 2) return;
        if (bit == 9) {
            if (!level) std::exit(3);
            received.push_back(byte_);
            phase_ = 0;
        } else if (bit > 0) {
            byte_ = byte_ >> 1 | level << 7;
        }
    }

    Vtop &top_;
    uint32_t divisor_;
    std::deque<Level> levels_;
    uint32_t phase_ = 0;
    uint8_t byte_ = 0;
};

uint32_t number() {
    uint8_t bytes[4];
    if (std::fread(bytes, 1, 4, stdin) != 4) std::exit(1);
    return bytes[0] | bytes[1] << 8 | bytes[2] << 16 | uint32_t(bytes[3]) << 24;
}

void answer(uint64_t value, int size) {
    for (int n = 0; n < size; ++n) std::putc(value >> 8 * n & 0xFF, answers);
}

}  // namespace

int main(int argc, char **argv) {
    if (argc < 2) return 2;
    answers = fdopen(dup(STDOUT_FILENO), "wb");
    dup2(STDERR_FILENO, STDOUT_FILENO);
    Verilated::commandArgs(argc, argv);
    auto top = std::make_unique<Vtop>();
    top->uart_rx = 1;
    for (top->rst = 1; int n : {0, 1, 2, 3}) {
        top->clk = n & 1;
        top->eval();
    }
    top->rst = 0;
    Line line(*top, std::strtoul(argv[1], nullptr, 10));
    for (int kind; (kind = std::getchar()) != EOF;) {
        if (kind == 'w') {
            for (uint32_t left = number(); left; --left) line.send(std::getchar());
        } else if (kind == 'l') {
            uint32_t cycles = number();
            line.hold(std::getchar(), cycles);
        } else if (kind == 'r') {
            uint32_t size = number();
            line.run(size, number());
            uint32_t count = std::min<size_t>(size, line.received.size());
            answer(count, 4);
            for (; count; --count) {
                std::putc(line.received.front(), answers);
                line.received.pop_front();
            }
            std::fflush(answers);
        } else if (kind == 'c') {
            answer(line.cycles, 8);
            std::fflush(answers);
        } else {
            return 2;
        }
    }
    top->final();
    return 0;
}
