/* One device with one network, for tests that call the driver from Python: NETWORK is its name,
 * NETWORK_HEADER its header. */
#include NETWORK_HEADER

#define PASTE(a, b) a##b
#define IMAGE(network, image) PASTE(network, image)

static dynafix device;
static dynafix_platform platform;
static dynafix_network changed;

dynafix *harness_device(void);
void harness_platform(const dynafix_platform *given);
void harness_hash(uint32_t hash_hi);
dynafix_status harness_init(void *memory, uint32_t address, size_t size);
dynafix_status harness_load(void);
size_t harness_memory_size(void);
uint64_t harness_cycles(void);
void harness_error(uint32_t words[5]);

dynafix *harness_device(void)
{
    return &device;
}

void harness_platform(const dynafix_platform *given)
{
    platform = *given;
    changed = NETWORK;
}

void harness_hash(uint32_t hash_hi)
{
    changed.config_hash_hi = hash_hi;
}

dynafix_status harness_init(void *memory, uint32_t address, size_t size)
{
    return dynafix_init(&device, &platform, &changed, memory, address, size);
}

dynafix_status harness_load(void)
{
    return dynafix_load(&device, IMAGE(NETWORK, _program), IMAGE(NETWORK, _weights));
}

size_t harness_memory_size(void)
{
    return dynafix_memory_size(&changed);
}

uint64_t harness_cycles(void)
{
    return device.cycles;
}

void harness_error(uint32_t words[5])
{
    words[0] = device.error.code;
    words[1] = device.error.engine;
    words[2] = device.error.fetched;
    words[3] = device.error.done;
    words[4] = device.error.step;
}
