// The functions of zlib that Verilator's FST writer calls, so that waveforms need no system library.
// compress2 makes every block one byte longer than its data, and the writer stores such blocks
// uncompressed, which the FST format allows wherever zlib may be used.

#pragma once

#include <cstring>

typedef unsigned char Bytef;
typedef unsigned long uLong;
typedef unsigned long uLongf;

enum { Z_OK = 0 };

static inline uLong compressBound(uLong size) { return size + 1; }

static inline int compress2(Bytef *to, uLongf *to_size, const Bytef *from, uLong size, int) {
    std::memcpy(to, from, size);
    *to_size = size + 1;
    return Z_OK;
}
