"""What a processor would do with the drivers, against the Verilog; all it needs is in +job."""

import json
from pathlib import Path

import cocotb
import numpy as np
from cocotb.task import bridge

from arch.isa import Engine
from arch.registers import Error, register
from compiler.host import HostStep
from dynafix.driver.dynafix_pynq import Accelerator, DriverError
from tests.dynafix.driver.attached import Attached
from tests.dynafix.driver.c_driver import CDriver


FETCH = len(Engine)

_ARRAYS = ("codes", "values", "pixels", "expected", "numbers")


def read_job():
    """Return the job, with its arrays."""
    job = json.loads(Path(cocotb.plusargs["job"]).read_text())
    return job | {name: np.load(job[name]) for name in _ARRAYS}


async def attach(dut, scenario):
    """Run a scenario in a thread of its own, beside the simulation."""
    job = read_job()
    attached = await Attached.reset(dut, job["width"])
    await bridge(scenario)(attached, job)


def open_c(attached, job, **options):
    """Return the C driver, with its network in memory."""
    driver = CDriver(
        job["library"], job["address"], read=attached.read, write=attached.write,
        load=attached.load, store=attached.store)
    options.setdefault("wait", lambda count: 0 if attached.wait_interrupt() else 1)
    driver.platform(interrupt=True, **options)
    assert driver.init() == "OK"
    assert driver.load() == "OK"
    return driver


def check_output(driver, expected):
    """Compare the output in all its forms."""
    for order in ("nchw", "nhwc"):
        assert np.array_equal(driver.unpack("codes", expected.shape, order), expected)
    assert driver.lib.dynafix_argmax(driver.device) == expected.argmax()


def c_images(attached, job):
    """Every image, packed in every way; polled, and by interrupt; cycles and counters."""
    driver = open_c(attached, job)
    cycles = set()
    ways = [("codes", "codes", "nchw"), ("floats", "values", "nhwc")]
    if len(job["pixels"]):
        ways.append(("pixels", "pixels", "nhwc"))
    for number, (kind, source, order) in enumerate(ways):
        index = number % len(job["expected"])
        assert driver.pack(kind, job[source][index], order) == "OK"
        assert driver.call("dynafix_run") == "OK"
        check_output(driver, job["expected"][index])
        floats = driver.unpack("floats", job["expected"][index].shape, "nhwc")
        assert np.array_equal(floats, job["numbers"][index].astype(np.float32))
        cycles.add(driver.lib.harness_cycles())
    assert cycles == {job["cycles"]}, cycles
    counts = driver.counters(job["layer"], Engine.CALC)
    attached.write(register("SELECT").offset, job["layer"] | Engine.CALC << 12)
    assert counts == [attached.read(register("COUNT_BUSY").offset + 4 * n) for n in range(4)]
    assert counts[0] > 0

    waits = []
    driver.platform(wait=lambda count: waits.append(count) or attached.wait_cycles(200))
    assert driver.init() == "OK"
    driver.pack("codes", job["codes"][1], "nhwc")
    assert driver.call("dynafix_run") == "OK"
    check_output(driver, job["expected"][1])
    assert waits[:2] == [0, 1]
    assert driver.lib.harness_cycles() == job["cycles"]


def c_errors(attached, job):
    """Wrong accelerators, wrong programs, runs that do not end; a right one after each."""
    driver = open_c(attached, job)

    def works():
        driver.pack("codes", job["codes"][0], "nchw")
        assert driver.call("dynafix_run") == "OK"
        check_output(driver, job["expected"][0])

    works()
    for first, byte, code in ((0, 0, Error.MAGIC), (8, 0xFF, Error.CONFIG), (64, 0xFF, None)):
        before = driver.memory[first:first + 64].copy()
        driver.memory[first:first + 8] = byte
        assert driver.lib.dynafix_load(driver.device, None, None) == 0
        assert driver.call("dynafix_run") == "FAILED"
        error = driver.error()
        assert error[0] == (Error.OPCODE if code is None else code)
        assert error[1] == FETCH
        text = driver.lib.dynafix_error_text(error[0]).decode()
        assert text.startswith({0: "no program at", 8: "the program was", 64: "unknown op"}[first])
        assert driver.lib.dynafix_error_source(error[1]) == b"the instruction fetch"
        driver.memory[first:first + 64] = before
        assert driver.lib.dynafix_load(driver.device, None, None) == 0
        works()

    driver.lib.dynafix_limit(driver.device, 200)
    assert driver.call("dynafix_run") == "FAILED"
    assert driver.error()[0] == Error.TIMEOUT
    driver.lib.dynafix_limit(driver.device, 0)
    works()

    driver.platform(interrupt=True, wait=lambda count: count == 2)
    assert driver.init() == "OK"
    driver.pack("codes", job["codes"][1], "nchw")
    assert driver.call("dynafix_run") == "NO_ANSWER"
    assert driver.call("dynafix_start") == "BUSY"
    assert driver.load() == "BUSY"
    assert driver.init() == "BUSY"
    driver.lib.dynafix_interrupt(driver.device)
    while not attached.read(register("STATUS").offset) & 0b10:
        attached.wait_cycles(500)
    assert not attached.interrupt()
    assert driver.call("dynafix_poll") == "OK"
    check_output(driver, job["expected"][1])

    driver.lib.harness_hash(1)
    assert driver.init() == "WRONG_CONFIG"
    assert driver.lib.dynafix_status_text(4).decode().startswith("the network was compiled for")
    driver.platform()
    assert driver.init(size=len(driver.memory) - 1) == "BAD_MEMORY"
    assert driver.init(address=job["address"] + 4) == "BAD_MEMORY"
    assert driver.init(address=0xFFFF_FFC0) == "BAD_MEMORY"


def host_function(driver, steps, done):
    """Return a host function of the C driver that computes what the compiler says."""
    def host(number, source, result):
        step = HostStep.from_json(steps[number]["host"])
        base = driver.memory.ctypes.data
        data = driver.memory[source - base:][:step.size(step.source)].tobytes()
        driver.memory[result - base:][:step.size(step.result)] = np.frombuffer(
            step.compute(data), np.uint8)
        done.append(number)
        return 0
    return host


def c_host(attached, job):
    """A program with steps of the host."""
    driver = open_c(attached, job)
    driver.pack("codes", job["codes"][0], "nchw")
    assert driver.call("dynafix_run") == "NO_HOST"
    done = []
    steps = job["steps"]
    driver.platform(interrupt=True, wait=lambda count: not attached.wait_interrupt(),
                    host=host_function(driver, steps, done))
    assert driver.init() == "OK"
    for codes, expected in zip(job["codes"], job["expected"]):
        driver.pack("codes", codes, "nhwc")
        assert driver.call("dynafix_run") == "OK"
        check_output(driver, expected)
        assert driver.lib.harness_cycles() == job["cycles"]
    assert done == 2 * [number for number, step in enumerate(steps) if "host" in step]
    driver.platform(interrupt=True, wait=lambda count: not attached.wait_interrupt(),
                    host=lambda *_: 1)
    assert driver.init() == "OK"
    assert driver.call("dynafix_run") == "HOST_FAILED"


class Buffer(np.ndarray):
    """Memory as of ``pynq.allocate``, like a cache: only flush and invalidate move bytes."""

    def flush(self):
        """Write everything to the simulated memory."""
        self.attached.store(self.device_address, self.tobytes())

    def invalidate(self):
        """Read everything from there."""
        self[:] = np.frombuffer(self.attached.load(self.device_address, self.size), np.uint8)


class Board:
    """What PYNQ has: registers, and an allocator, on the simulated memory."""

    def __init__(self, attached, address):
        self._attached = attached
        self._end = address
        self.read, self.write = attached.read, attached.write

    def allocate(self, shape, dtype):
        """Return memory, at multiples of 64 bytes."""
        buffer = np.full(shape, 0x5A, dtype).view(Buffer)
        buffer.attached, buffer.device_address = self._attached, self._end
        self._end += -(-buffer.size // 64) * 64
        return buffer


def open_python(attached, job, **options):
    """Return the Python driver, with its network in memory."""
    board = Board(attached, job["address"])
    options = {"interrupt": True, "wait": attached.wait_interrupt, **options}
    return Accelerator(job["folder"], board, board.allocate, **options)


def python_images(attached, job):
    """Every image, from codes, numbers and pixels; cycles and counters."""
    accelerator = open_python(attached, job)
    runs = [
        (accelerator.run_codes, job["codes"], job["expected"]),
        (accelerator.run, job["values"], job["numbers"])]
    for run, sources, results in runs:
        for source, expected in zip(sources, results):
            assert np.array_equal(run(source), expected)
            assert accelerator.cycles == job["cycles"]
    for source, expected in zip(job["pixels"], job["numbers"]):
        assert np.array_equal(accelerator.run_pixels(source.transpose(1, 2, 0)), expected)
    counts = accelerator.counters(job["layer"])
    assert counts.keys() == {"LOAD", "CALC", "SAVE"}
    assert counts["CALC"]["busy"] > 0


def failure(function, *arguments):
    """Return the error that a call ends with."""
    try:
        function(*arguments)
    except DriverError as error:
        return error
    raise AssertionError("The call did not fail")


def python_errors(attached, job):
    """Wrong programs, runs that do not end; a right one after each."""
    accelerator = open_python(attached, job)
    run = accelerator.run_codes
    program = accelerator._buffers["program"]
    before = program[:4].copy()
    program[:4] = 0
    program.flush()
    error = failure(run, job["codes"][0])
    assert error.code == "no program at the program address"
    assert str(error) == (
        "The accelerator reported: no program at the program address. Seen by the instruction "
        "fetch, which had done 0 instructions, after 0 were fetched"), error
    program[:4] = before
    program.flush()
    assert np.array_equal(run(job["codes"][0]), job["expected"][0])
    accelerator.limit(200)
    assert failure(run, job["codes"][0]).code.startswith("the run took more cycles than LIMIT")
    accelerator.limit(0)
    assert np.array_equal(run(job["codes"][0]), job["expected"][0])
    impatient = open_python(
        attached, job | {"address": job["second"]}, wait=lambda: None, seconds=0.0)
    assert str(failure(impatient.run_codes, job["codes"][0])) == (
        "The accelerator did not answer in 0 s")
    assert str(failure(open_python, attached, job)).startswith("The accelerator still runs")


def python_host(attached, job):
    """A program with steps of the host."""
    accelerator = open_python(attached, job)
    assert str(failure(accelerator.run_codes, job["codes"][0])).startswith(
        "The network needs the host for ")
    accelerator = open_python(
        attached, job, host=lambda step, data: HostStep.from_json(step).compute(data))
    for codes, expected in zip(job["codes"], job["expected"]):
        assert np.array_equal(accelerator.run_codes(codes), expected)
        assert accelerator.cycles == job["cycles"]


@cocotb.test
@cocotb.parametrize(scenario=[
    c_images, c_errors, c_host, python_images, python_errors, python_host])
async def run_scenario(dut, scenario):
    """Run one of the functions above."""
    await attach(dut, scenario)
