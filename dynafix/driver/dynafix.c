/* Driver of the dynafix accelerator; dynafix.h says what each function does. */
#include "dynafix.h"

#include <string.h>

/* ---- Registers --------------------------------------------------------------------------------- */

uint32_t dynafix_mmio_read32(void *context, uint32_t offset)
{
    return *(volatile uint32_t *)((uintptr_t)context + offset);
}

void dynafix_mmio_write32(void *context, uint32_t offset, uint32_t value)
{
    *(volatile uint32_t *)((uintptr_t)context + offset) = value;
}

static uint32_t get(const dynafix *device, uint32_t offset)
{
    return device->platform->read32(device->platform->context, offset);
}

static void set(const dynafix *device, uint32_t offset, uint32_t value)
{
    device->platform->write32(device->platform->context, offset, value);
}

/* ---- Memory ------------------------------------------------------------------------------------ */

static size_t aligned(size_t size)
{
    return (size + DYNAFIX_ALIGNMENT - 1) / DYNAFIX_ALIGNMENT * DYNAFIX_ALIGNMENT;
}

/* Whole lines of the cache from `offset` of a region on. No line is of two regions. */
static void flush(const dynafix *device, const uint8_t *region, size_t offset, size_t size)
{
    const size_t first = offset / DYNAFIX_ALIGNMENT * DYNAFIX_ALIGNMENT;
    if (device->platform->flush != NULL && size != 0)
        device->platform->flush(device->platform->context, region + first,
                                aligned(offset + size) - first);
}

static void invalidate(const dynafix *device, uint8_t *region, size_t offset, size_t size)
{
    const size_t first = offset / DYNAFIX_ALIGNMENT * DYNAFIX_ALIGNMENT;
    if (device->platform->invalidate != NULL && size != 0)
        device->platform->invalidate(device->platform->context, region + first,
                                     aligned(offset + size) - first);
}

size_t dynafix_memory_size(const dynafix_network *network)
{
    size_t size = aligned(network->program_size);
    for (uint32_t region = 0; region < DYNAFIX_REGION_COUNT; region++)
        size += aligned(network->region_sizes[region]);
    return size;
}

static dynafix_status check(const dynafix *device)
{
    const dynafix_network *network = device->network;
    if (get(device, DYNAFIX_REG_ID) != DYNAFIX_ID)
        return DYNAFIX_WRONG_ID;
    if (get(device, DYNAFIX_REG_VERSION) != network->isa_version)
        return DYNAFIX_WRONG_VERSION;
    if (get(device, DYNAFIX_REG_HASH_LO) != network->config_hash_lo
        || get(device, DYNAFIX_REG_HASH_HI) != network->config_hash_hi)
        return DYNAFIX_WRONG_CONFIG;
    if (get(device, DYNAFIX_REG_STATUS) & DYNAFIX_STATUS_BUSY_MASK)
        return DYNAFIX_BUSY;
    return DYNAFIX_OK;
}

dynafix_status dynafix_init(dynafix *device, const dynafix_platform *platform,
                            const dynafix_network *network, void *memory, uint32_t address,
                            size_t size)
{
    const size_t needed = dynafix_memory_size(network);
    size_t place = aligned(network->program_size);
    dynafix fresh;

    memset(&fresh, 0, sizeof fresh);
    fresh.platform = platform;
    fresh.network = network;
    const dynafix_status status = check(&fresh);
    if (status != DYNAFIX_OK)
        return status;
    if (size < needed || needed - 1 > UINT32_MAX - address || address % DYNAFIX_ALIGNMENT != 0
        || (uintptr_t)memory % DYNAFIX_ALIGNMENT != 0)
        return DYNAFIX_BAD_MEMORY;

    fresh.program = memory;
    fresh.program_address = address;
    for (uint32_t region = 0; region < DYNAFIX_REGION_COUNT; region++) {
        fresh.regions[region] = fresh.program + place;
        set(&fresh, DYNAFIX_REG_REGION_0 + 4 * region, address + (uint32_t)place);
        place += aligned(network->region_sizes[region]);
    }
    /* What was written there before must not come out of the cache later. */
    flush(&fresh, fresh.regions[DYNAFIX_REGION_OUTPUT], 0,
          network->region_sizes[DYNAFIX_REGION_OUTPUT]);
    flush(&fresh, fresh.regions[DYNAFIX_REGION_SCRATCH], 0,
          network->region_sizes[DYNAFIX_REGION_SCRATCH]);
    set(&fresh, DYNAFIX_REG_STATUS, DYNAFIX_STATUS_DONE_MASK);
    *device = fresh;
    return DYNAFIX_OK;
}

dynafix_status dynafix_load(dynafix *device, const void *program, const void *weights)
{
    const uint32_t size = device->network->region_sizes[DYNAFIX_REGION_WEIGHTS];
    uint8_t *region = device->regions[DYNAFIX_REGION_WEIGHTS];
    if (get(device, DYNAFIX_REG_STATUS) & DYNAFIX_STATUS_BUSY_MASK)
        return DYNAFIX_BUSY;
    if (program != NULL)
        memcpy(device->program, program, device->network->program_size);
    if (weights != NULL)
        memcpy(region, weights, size);
    flush(device, device->program, 0, device->network->program_size);
    flush(device, region, 0, size);
    return DYNAFIX_OK;
}

/* ---- Running ----------------------------------------------------------------------------------- */

void dynafix_limit(dynafix *device, uint32_t cycles)
{
    set(device, DYNAFIX_REG_LIMIT, cycles);
}

void dynafix_interrupt(dynafix *device)
{
    set(device, DYNAFIX_REG_CONTROL, 0);
}

static dynafix_status host(dynafix *device, const dynafix_step *step)
{
    const dynafix_platform *platform = device->platform;
    uint8_t *source = device->regions[step->source_region];
    uint8_t *result = device->regions[step->result_region];
    if (platform->host == NULL)
        return DYNAFIX_NO_HOST;
    invalidate(device, source, step->source_offset, step->source_size);
    if (platform->host(platform->context, device->step, source + step->source_offset,
                       result + step->result_offset) != 0)
        return DYNAFIX_HOST_FAILED;
    flush(device, result, step->result_offset, step->result_size);
    return DYNAFIX_OK;
}

/* Do steps of the host, up to the next one of the accelerator, which is started. */
static dynafix_status proceed(dynafix *device)
{
    const dynafix_network *network = device->network;
    for (; device->step < network->step_count; device->step++) {
        const dynafix_step *step = &network->steps[device->step];
        if (!step->is_host) {
            set(device, DYNAFIX_REG_PROGRAM, device->program_address + step->offset);
            set(device, DYNAFIX_REG_CONTROL, DYNAFIX_CONTROL_START_MASK
                | (device->platform->interrupt ? DYNAFIX_CONTROL_INTERRUPT_MASK : 0));
            return DYNAFIX_BUSY;
        }
        const dynafix_status status = host(device, step);
        if (status != DYNAFIX_OK)
            return status;
    }
    invalidate(device, device->regions[DYNAFIX_REGION_OUTPUT], 0,
               network->region_sizes[DYNAFIX_REGION_OUTPUT]);
    return DYNAFIX_OK;
}

dynafix_status dynafix_start(dynafix *device)
{
    if (get(device, DYNAFIX_REG_STATUS) & DYNAFIX_STATUS_BUSY_MASK)
        return DYNAFIX_BUSY;
    device->step = 0;
    device->cycles = 0;
    memset(&device->error, 0, sizeof device->error);
    flush(device, device->regions[DYNAFIX_REGION_INPUT], 0,
          device->network->region_sizes[DYNAFIX_REGION_INPUT]);
    const dynafix_status status = proceed(device);
    return status == DYNAFIX_BUSY ? DYNAFIX_OK : status;
}

dynafix_status dynafix_poll(dynafix *device)
{
    if (device->step >= device->network->step_count)
        return DYNAFIX_OK;
    const uint32_t status = get(device, DYNAFIX_REG_STATUS);
    if (!(status & DYNAFIX_STATUS_DONE_MASK))
        return DYNAFIX_BUSY;
    device->cycles += get(device, DYNAFIX_REG_CYCLES_LO)
        | (uint64_t)get(device, DYNAFIX_REG_CYCLES_HI) << 32;
    if (status & DYNAFIX_STATUS_ERROR_MASK) {
        const uint32_t word = get(device, DYNAFIX_REG_ERROR);
        device->error.code = (word & DYNAFIX_ERROR_CODE_MASK) >> DYNAFIX_ERROR_CODE;
        device->error.engine = (word & DYNAFIX_ERROR_ENGINE_MASK) >> DYNAFIX_ERROR_ENGINE;
        device->error.fetched = get(device, DYNAFIX_REG_ERROR_INDEX);
        device->error.done = get(device, DYNAFIX_REG_ERROR_DONE);
        device->error.step = device->step;
    }
    set(device, DYNAFIX_REG_STATUS, DYNAFIX_STATUS_DONE_MASK);
    if (status & DYNAFIX_STATUS_ERROR_MASK)
        return DYNAFIX_FAILED;
    device->step++;
    return proceed(device);
}

dynafix_status dynafix_run(dynafix *device)
{
    const dynafix_platform *platform = device->platform;
    dynafix_status status = dynafix_start(device);
    if (status != DYNAFIX_OK)
        return status;
    for (uint32_t count = 0;; count++) {
        const uint32_t step = device->step;
        status = dynafix_poll(device);
        if (status != DYNAFIX_BUSY)
            return status;
        if (device->step != step)
            count = 0;
        if (platform->wait != NULL && platform->wait(platform->context, count) != 0)
            return DYNAFIX_NO_ANSWER;
    }
}

void dynafix_counters(dynafix *device, uint32_t layer, uint32_t engine,
                      uint32_t counts[DYNAFIX_COUNTER_COUNT])
{
    set(device, DYNAFIX_REG_SELECT,
        layer << DYNAFIX_SELECT_LAYER | engine << DYNAFIX_SELECT_ENGINE);
    for (uint32_t index = 0; index < DYNAFIX_COUNTER_COUNT; index++)
        counts[index] = get(device, DYNAFIX_REG_COUNT_BUSY + 4 * index);
}

/* ---- Words ------------------------------------------------------------------------------------- */

static const char *entry(const char *const *texts, size_t count, uint32_t index)
{
    return index < count ? texts[index] : "unknown";
}

const char *dynafix_error_text(uint32_t code)
{
    static const char *const texts[] = {DYNAFIX_ERROR_TEXTS};
    return entry(texts, sizeof texts / sizeof *texts, code);
}

const char *dynafix_error_source(uint32_t engine)
{
    static const char *const texts[] = {DYNAFIX_ERROR_SOURCES};
    return entry(texts, sizeof texts / sizeof *texts, engine);
}

const char *dynafix_status_text(dynafix_status status)
{
    static const char *const texts[] = {
        "done",
        "the accelerator still runs",
        "there is no accelerator at this address",
        "the accelerator has another instruction set than the network",
        "the network was compiled for another config than the accelerator's",
        "the memory is too small, not aligned, or beyond 32 bits of address",
        "the network has no rule for pixels",
        "a step of the host has no function",
        "the function for a step of the host failed",
        "the accelerator reported an error",
        "the accelerator did not answer in time",
    };
    return entry(texts, sizeof texts / sizeof *texts, (uint32_t)status);
}
