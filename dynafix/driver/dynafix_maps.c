/* Input and output of the dynafix accelerator; dynafix.h says what each function does. */
#include "dynafix.h"

#include <string.h>

/* ---- Input ------------------------------------------------------------------------------------- */

static int32_t smallest(const dynafix_map *map)
{
    return map->is_signed ? -((int32_t)1 << (map->bits - 1)) : 0;
}

static int32_t largest(const dynafix_map *map)
{
    return ((int32_t)1 << (map->bits - (map->is_signed ? 1 : 0))) - 1;
}

/* 2^exponent, exactly. */
static double power(int32_t exponent)
{
    double value = 1.0;
    for (; exponent > 0; exponent--)
        value *= 2.0;
    for (; exponent < 0; exponent++)
        value *= 0.5;
    return value;
}

/* The code of a number; what is no number becomes the smallest one. */
static int32_t quantize(const dynafix_network *network, double scaled)
{
    const int32_t low = smallest(&network->input), high = largest(&network->input);
    if (scaled >= high)
        return high;
    if (!(scaled > low))
        return low;
    const int32_t whole = (int32_t)scaled;
    const int32_t below = whole - (scaled < whole);
    const double rest = scaled - below;
    switch (network->rounding) {
    case DYNAFIX_HALF_UP:
        return below + (rest >= 0.5);
    case DYNAFIX_HALF_AWAY:
        return below + (rest > 0.5 || (rest == 0.5 && scaled > 0));
    case DYNAFIX_FLOOR:
        return below;
    case DYNAFIX_HALF_EVEN:
    default:
        return below + (rest > 0.5 || (rest == 0.5 && (below & 1)));
    }
}

/* What the input is made from. */
typedef struct {
    const dynafix_network *network;
    dynafix_order order;
    const int16_t *codes;
    const float *values;
    const uint8_t *pixels;
    double scale;
} source;

/* Where a value lies in a map of some size outside the accelerator. */
typedef struct {
    uint32_t channels, height, width;
    dynafix_order order;
} extent;

static size_t position(const extent *map, uint32_t channel, uint32_t line, uint32_t column)
{
    if (map->order == DYNAFIX_NCHW)
        return ((size_t)channel * map->height + line) * map->width + column;
    return ((size_t)line * map->width + column) * map->channels + channel;
}

static int32_t code_at(const source *from, uint32_t channel, uint32_t line, uint32_t column)
{
    const dynafix_network *network = from->network;
    const dynafix_map *input = &network->input;
    const dynafix_intake *intake = &network->intake;
    if (from->codes != NULL) {
        const extent map = {input->channels, input->height, input->width, from->order};
        return from->codes[position(&map, channel, line, column)];
    }
    if (line < intake->above || line - intake->above >= intake->height
        || column < intake->before || column - intake->before >= intake->width)
        return intake->pad_codes[channel];
    const extent image = {input->channels, intake->height, intake->width, from->order};
    const size_t index = position(
        &image, channel, line - intake->above, column - intake->before);
    if (from->values == NULL)
        return network->pixel_codes[
            (size_t)channel * network->pixel_stride + from->pixels[index]];
    float value = from->values[index];
    if (intake->offsets != NULL)
        value = (value - intake->offsets[channel]) * intake->factors[channel];
    return quantize(network, (double)value * from->scale);
}

static uint8_t *store(const dynafix_map *map, uint8_t *place, int32_t code)
{
    for (uint32_t byte = 0; byte < map->code_size; byte++)
        *place++ = (uint8_t)((uint32_t)code >> (8 * byte));
    return place;
}

static void pack_lines(const dynafix *device, const source *from)
{
    const dynafix_map *map = &device->network->input;
    uint8_t *line = device->regions[DYNAFIX_REGION_INPUT];
    for (uint32_t y = 0; y < map->height; y++) {
        uint8_t *place = line;
        for (uint32_t x = 0; x < map->width; x++)
            for (uint32_t channel = 0; channel < map->channels; channel++)
                place = store(map, place, code_at(from, channel, y, x));
        line += device->network->packing.line_size;
    }
}

/* The channels under a kernel whose first tap is at a position, which may be outside the map. */
static uint8_t *pack_kernel(const dynafix_network *network, const source *from, uint8_t *place,
                            int64_t top, int64_t left)
{
    const dynafix_packing *packing = &network->packing;
    const dynafix_map *map = &network->input;
    for (uint32_t ky = 0; ky < packing->kernel_lines; ky++)
        for (uint32_t kx = 0; kx < packing->kernel_columns; kx++) {
            const int64_t y = top + (int64_t)ky * packing->dilation_lines;
            const int64_t x = left + (int64_t)kx * packing->dilation_columns;
            const int inside = y >= 0 && y < map->height && x >= 0 && x < map->width;
            for (uint32_t channel = 0; channel < map->channels; channel++)
                place = store(map, place, inside
                    ? code_at(from, channel, (uint32_t)y, (uint32_t)x) : 0);
        }
    return place;
}

static void pack(const dynafix *device, const source *from)
{
    const dynafix_network *network = device->network;
    const dynafix_packing *packing = &network->packing;
    uint8_t *place = device->regions[DYNAFIX_REGION_INPUT];
    memset(place, 0, network->region_sizes[DYNAFIX_REGION_INPUT]);
    if (packing->line_size != 0) {
        pack_lines(device, from);
        return;
    }
    const size_t taps = (size_t)packing->kernel_lines * packing->kernel_columns;
    const size_t lanes = network->input.lanes;
    const size_t row = (taps * network->input.channels + lanes - 1) / lanes * lanes
        * network->input.code_size;
    for (uint32_t y = 0; y < packing->lines; y++)
        for (uint32_t x = 0; x < packing->columns; x++) {
            pack_kernel(network, from, place,
                        (int64_t)y * packing->stride_lines - packing->above,
                        (int64_t)x * packing->stride_columns - packing->before);
            place += row;
        }
}

void dynafix_pack_codes(dynafix *device, const int16_t *codes, dynafix_order order)
{
    const source from = {.network = device->network, .order = order, .codes = codes};
    pack(device, &from);
}

void dynafix_pack_floats(dynafix *device, const float *values, dynafix_order order)
{
    const source from = {.network = device->network, .order = order, .values = values,
                         .scale = power(device->network->input.frac)};
    pack(device, &from);
}

dynafix_status dynafix_pack_pixels(dynafix *device, const uint8_t *pixels, dynafix_order order)
{
    const source from = {.network = device->network, .order = order, .pixels = pixels};
    if (device->network->pixel_codes == NULL)
        return DYNAFIX_NO_PIXELS;
    pack(device, &from);
    return DYNAFIX_OK;
}

/* ---- Output ------------------------------------------------------------------------------------ */

static int32_t output_code(const dynafix *device, uint32_t channel, uint32_t line,
                           uint32_t column)
{
    const dynafix_map *map = &device->network->output;
    const size_t row = (size_t)(map->channels + map->lanes - 1) / map->lanes * map->lanes;
    const size_t index = ((size_t)line * map->width + column) * row + channel;
    const uint8_t *place = device->regions[DYNAFIX_REGION_OUTPUT] + index * map->code_size;
    int32_t code = place[0];
    if (map->code_size == 2)
        code |= (int32_t)place[1] << 8;
    const int32_t half = (int32_t)1 << (8 * map->code_size - 1);
    return map->is_signed && code >= half ? code - 2 * half : code;
}

/* What a code of the output stands for, but for the power of two of its format. */
static double number(const dynafix_network *network, uint32_t channel, double value)
{
    if (network->result_scales == NULL)
        return value;
    return value * network->result_scales[channel] + network->result_offsets[channel];
}

/* Write the codes, or the numbers if `values` is not NULL. */
static void unpack(const dynafix *device, int32_t *codes, float *values, dynafix_order order)
{
    const dynafix_map *map = &device->network->output;
    const extent outside = {map->channels, map->height, map->width, order};
    const double scale = power(-map->frac);
    for (uint32_t channel = 0; channel < map->channels; channel++)
        for (uint32_t y = 0; y < map->height; y++)
            for (uint32_t x = 0; x < map->width; x++) {
                const size_t index = position(&outside, channel, y, x);
                const int32_t code = output_code(device, channel, y, x);
                if (values != NULL)
                    values[index] = (float)number(device->network, channel, code * scale);
                else
                    codes[index] = code;
            }
}

void dynafix_unpack_codes(const dynafix *device, int32_t *codes, dynafix_order order)
{
    unpack(device, codes, NULL, order);
}

void dynafix_unpack_floats(const dynafix *device, float *values, dynafix_order order)
{
    unpack(device, NULL, values, order);
}

uint32_t dynafix_argmax(const dynafix *device)
{
    const dynafix_map *map = &device->network->output;
    const double scale = power(-map->frac);
    double best = 0.0;
    uint32_t index = 0, place = 0;
    for (uint32_t channel = 0; channel < map->channels; channel++)
        for (uint32_t y = 0; y < map->height; y++)
            for (uint32_t x = 0; x < map->width; x++, index++) {
                const double value = number(
                    device->network, channel, output_code(device, channel, y, x) * scale);
                if (index == 0 || value > best) {
                    best = value;
                    place = index;
                }
            }
    return place;
}
