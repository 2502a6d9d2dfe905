/* Driver of the dynafix accelerator for processors without an operating system, or behind one.
 *
 * C99 without a library beyond memcpy and memset; it allocates nothing. What a platform must give
 * is in dynafix_platform: access to registers, and what its caches need. What a network needs is in
 * dynafix_network, which `dynafix ip` generates as <network>.c and <network>.h:
 *
 *     static uint8_t memory[SIZE] __attribute__((aligned(64)));
 *     dynafix device;
 *     status = dynafix_init(&device, &platform, &lenet5, memory, (uint32_t)(uintptr_t)memory,
 *                           sizeof memory);
 *     status = dynafix_load(&device, lenet5_program, lenet5_weights);
 *     status = dynafix_pack_pixels(&device, pixels, DYNAFIX_NHWC);
 *     status = dynafix_run(&device);
 *     class = dynafix_argmax(&device);
 */
#ifndef DYNAFIX_H
#define DYNAFIX_H

#include <stddef.h>
#include <stdint.h>

#include "dynafix_regs.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What a function says about its work. */
typedef enum {
    DYNAFIX_OK,
    DYNAFIX_BUSY,           /* the accelerator still runs */
    DYNAFIX_WRONG_ID,       /* there is no accelerator at this address */
    DYNAFIX_WRONG_VERSION,  /* the accelerator has another instruction set */
    DYNAFIX_WRONG_CONFIG,   /* the network was compiled for another config */
    DYNAFIX_BAD_MEMORY,     /* too small, not aligned, or beyond 32 bits of address */
    DYNAFIX_NO_PIXELS,      /* the network has no rule for pixels: pack numbers or codes */
    DYNAFIX_NO_HOST,        /* a step of the host, and the platform has no function for it */
    DYNAFIX_HOST_FAILED,    /* that function reported an error */
    DYNAFIX_FAILED,         /* the accelerator reported an error: see dynafix_error */
    DYNAFIX_NO_ANSWER       /* the platform has stopped waiting; the accelerator may still run */
} dynafix_status;

/* Order of the values of a map outside the accelerator. */
typedef enum { DYNAFIX_NCHW, DYNAFIX_NHWC } dynafix_order;

/* Rule for numbers between two codes. */
typedef enum {
    DYNAFIX_HALF_EVEN, DYNAFIX_HALF_UP, DYNAFIX_HALF_AWAY, DYNAFIX_FLOOR
} dynafix_rounding;

/* A map: a code q stands for q * 2^-frac. In memory, the channels of a position lie in rows of
 * `lanes` codes of `code_size` bytes, little-endian. */
typedef struct {
    uint32_t channels, height, width;
    uint32_t bits;
    int32_t frac;
    uint32_t is_signed;
    uint32_t lanes, code_size;
} dynafix_map;

/* How the input lies in memory: for each of `lines` x `columns` positions, the channels under a
 * kernel of `kernel_lines` x `kernel_columns`, which moves by the strides and begins `above` lines
 * and `before` columns outside the map. If `line_size` is not 0, codes lie without gaps instead, in
 * lines of so many bytes. */
typedef struct {
    uint32_t lines, columns;
    uint32_t kernel_lines, kernel_columns;
    uint32_t stride_lines, stride_columns;
    uint32_t dilation_lines, dilation_columns;
    uint32_t above, before;
    uint32_t line_size;
} dynafix_packing;

/* How an image, numbers or pixels, becomes the input: codes of zero are put around it, its first
 * value `above` lines and `before` columns inside; a number x becomes (x - offset) * factor. */
typedef struct {
    uint32_t height, width;
    uint32_t above, before;
    const float *offsets, *factors; /* by channel; NULL: numbers are taken as they are */
    const int16_t *pad_codes;       /* by channel; NULL: nothing is put around */
} dynafix_intake;

/* A part of a run: instructions at `offset` of the program, or, if `is_host`, a step of the host
 * from one place in memory to another. */
typedef struct {
    uint32_t is_host;
    uint32_t offset;
    uint32_t source_region, source_offset, source_size;
    uint32_t result_region, result_offset, result_size;
} dynafix_step;

/* A compiled network. */
typedef struct {
    const char *name;
    uint32_t isa_version;
    uint32_t config_hash_lo, config_hash_hi;
    uint32_t program_size;
    uint32_t region_sizes[DYNAFIX_REGION_COUNT];
    dynafix_map input, output;
    dynafix_packing packing;
    dynafix_intake intake;
    /* By channel, what the numbers of the output are multiplied by, and what is then added to
     * them, in the units of the float network; both NULL: nothing. */
    const double *result_scales, *result_offsets;
    dynafix_rounding rounding;
    /* The code of each of 256 values of a pixel, for each channel, or for all if `pixel_stride`
     * is 0; NULL if the network does not take pixels. */
    const int16_t *pixel_codes;
    uint32_t pixel_stride;
    const dynafix_step *steps;
    uint32_t step_count;
    uint32_t layer_count;
} dynafix_network;

/* What the driver needs of its surroundings. Functions that may be NULL are named. */
typedef struct {
    /* Handed to every function. */
    void *context;
    /* Registers, by byte offset. */
    uint32_t (*read32)(void *context, uint32_t offset);
    void (*write32)(void *context, uint32_t offset, uint32_t value);
    /* Write what caches hold of some bytes to memory, and forget what they hold. Addresses and
     * sizes are multiples of DYNAFIX_ALIGNMENT. NULL: memory is coherent, or not cached. */
    void (*flush)(void *context, const void *start, size_t size);
    void (*invalidate)(void *context, void *start, size_t size);
    /* Called while the accelerator runs, with the number of times it was called before in this
     * wait; anything but 0 gives up. It may sleep until the interrupt. NULL: ask again at once,
     * for ever; the register LIMIT ends runs that never would, see dynafix_limit. */
    int (*wait)(void *context, uint32_t count);
    /* Does the step of the host with this number (of all steps of the network); anything but 0 is
     * a failure. NULL: networks with such steps end with DYNAFIX_NO_HOST. */
    int (*host)(void *context, uint32_t step, const void *source, void *result);
    /* Whether a run raises the interrupt. */
    uint32_t interrupt;
} dynafix_platform;

/* What the accelerator reported with DYNAFIX_FAILED. */
typedef struct {
    uint32_t code;          /* DYNAFIX_ERROR_IS_... */
    uint32_t engine;        /* DYNAFIX_ENGINE_..., or 3: the fetch */
    uint32_t fetched;       /* instructions of the segment fetched when it was seen */
    uint32_t done;          /* instructions that the engine had done: its next one failed */
    uint32_t step;          /* step of the network */
} dynafix_error;

/* An accelerator with its network. Members are for the driver; `error` and `cycles` can be read. */
typedef struct {
    const dynafix_platform *platform;
    const dynafix_network *network;
    uint8_t *program;
    uint32_t program_address;
    uint8_t *regions[DYNAFIX_REGION_COUNT];
    uint32_t step;
    uint64_t cycles;        /* of the last run, all segments together */
    dynafix_error error;
} dynafix;

/* Registers in the address space of the processor; the platform's context is their address. */
uint32_t dynafix_mmio_read32(void *context, uint32_t offset);
void dynafix_mmio_write32(void *context, uint32_t offset, uint32_t value);

/* Bytes of memory that a network needs: program, weights, input, output, scratch. */
size_t dynafix_memory_size(const dynafix_network *network);

/* Check the accelerator and give it its memory. `memory` is where the processor sees the memory,
 * `address` where the accelerator does; both are multiples of DYNAFIX_ALIGNMENT. Unless all is well
 * `device` stays what it was. */
dynafix_status dynafix_init(dynafix *device, const dynafix_platform *platform,
                            const dynafix_network *network, void *memory, uint32_t address,
                            size_t size);

/* Copy program and weights to memory. Images that are NULL are there already. */
dynafix_status dynafix_load(dynafix *device, const void *program, const void *weights);

/* Cycles after which a run of a segment ends with DYNAFIX_ERROR_IS_TIMEOUT; 0: never. */
void dynafix_limit(dynafix *device, uint32_t cycles);

/* Make the input, while nothing runs: from codes, which must be of the input's shape and format;
 * from numbers as the float network takes them; or from pixels as the images had them that the
 * formats were chosen with (after resizing and cropping). Numbers and pixels have the shape of the
 * network's intake. */
void dynafix_pack_codes(dynafix *device, const int16_t *codes, dynafix_order order);
void dynafix_pack_floats(dynafix *device, const float *values, dynafix_order order);
dynafix_status dynafix_pack_pixels(dynafix *device, const uint8_t *pixels, dynafix_order order);

/* Run the network, from start to end. */
dynafix_status dynafix_run(dynafix *device);

/* The same in steps: start, then ask until the answer is not DYNAFIX_BUSY. Steps of the host are
 * done inside of these. */
dynafix_status dynafix_start(dynafix *device);
dynafix_status dynafix_poll(dynafix *device);

/* For the handler of the interrupt: lower it. What the run says stays for dynafix_poll. */
void dynafix_interrupt(dynafix *device);

/* Read the output: codes, or the numbers of the float network that they stand for; and the channel, or position, with
 * the largest one, the first of several, in the order of DYNAFIX_NCHW. */
void dynafix_unpack_codes(const dynafix *device, int32_t *codes, dynafix_order order);
void dynafix_unpack_floats(const dynafix *device, float *values, dynafix_order order);
uint32_t dynafix_argmax(const dynafix *device);

/* Counters of an engine for a layer, in the last segment that ran: DYNAFIX_COUNTER_.... */
void dynafix_counters(dynafix *device, uint32_t layer, uint32_t engine,
                      uint32_t counts[DYNAFIX_COUNTER_COUNT]);

/* Words for people. */
const char *dynafix_error_text(uint32_t code);
const char *dynafix_error_source(uint32_t engine);
const char *dynafix_status_text(dynafix_status status);

#ifdef __cplusplus
}
#endif

#endif
