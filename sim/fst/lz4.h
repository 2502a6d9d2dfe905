// The two functions of LZ4 that Verilator's FST writer calls, without compression, so that waveforms
// need no system library: one LZ4 block of literals only, which every reader of LZ4 accepts.
//
// Source: LZ4 Block Format Description, https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md

#pragma once

#include <cstring>

static inline int LZ4_compressBound(int size) { return size + size / 255 + 16; }

static inline int LZ4_compress_default(const char *from, char *to, int size, int capacity) {
    if (capacity < LZ4_compressBound(size)) return 0;
    char *next = to;
    *next++ = static_cast<char>((size < 15 ? size : 15) << 4);
    if (size >= 15) {
        int rest = size - 15;
        for (; rest >= 255; rest -= 255) *next++ = static_cast<char>(255);
        *next++ = static_cast<char>(rest);
    }
    std::memcpy(next, from, size);
    return static_cast<int>(next - to) + size;
}
