"""Packing and unpacking by both drivers, without a simulation: every layout that programs have."""

import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from arch.config import PRESETS, preset
from arch.formats import Format, Rounding
from arch.isa import ISA_VERSION
from arch.registers import register
from compiler import compile_model
from compiler.host_ends import HostEnds
from dynafix.driver.dynafix_pynq import Accelerator, DriverError
from dynafix.preprocess import Preprocess
from quantizer.intake import Intake
from tests.compiler.networks import NetworkBuilder
from tests.sim.configs import BANDS, TINY16

from .c_driver import CDriver, build_library
from .conftest import write_ip


ROOT = Path(__file__).resolve().parents[3]


def program(config, *, shape=(3, 9, 10), kernel=(3, 3), strides=(1, 1), pads=(1, 1, 1, 1)):
    """Return the program of a convolution, whose input is packed in one of many ways."""
    bits = config.data_bits
    b = NetworkBuilder(np.random.default_rng(2), shape, bits=bits, weight_bits=bits)
    model = b.model(
        b.conv("input", 11, kernel, strides=strides, pads=pads, relu=None),
        rounding=config.rounding)
    return compile_model(model, config)


PROGRAMS = {
    "none": lambda: program(preset("tiny"), shape=(8, 5, 6), kernel=(1, 1), pads=(0, 0, 0, 0)),
    "taps": lambda: program(preset("small"), shape=(1, 9, 10), kernel=(5, 5), pads=(2, 2, 2, 2)),
    "strided": lambda: program(
        replace(preset("ecp5_85f")), shape=(3, 16, 15), kernel=(7, 7), strides=(2, 2),
        pads=(3, 3, 2, 2)),
    "loader": lambda: program(BANDS),
    "16 bit": lambda: program(TINY16),
}


class NoBoard:
    """Registers of an idle accelerator for a program, and memory that nothing else sees."""

    def __init__(self, config, **changed):
        self._values = {
            "ID": 0x584E5944, "VERSION": ISA_VERSION, "HASH_LO": config.hash & 0xFFFFFFFF,
            "HASH_HI": config.hash >> 32, "STATUS": 0} | changed

    def read(self, offset):
        return next(
            value for name, value in self._values.items() if register(name).offset == offset)

    def write(self, offset, value):
        pass


def memory(shape, dtype, address=0):
    buffer = np.zeros(shape, dtype).view(type("Buffer", (np.ndarray,), {
        "flush": lambda self: None, "invalidate": lambda self: None}))
    buffer.device_address = address
    return buffer


def python_driver(compiled, folder, **changed):
    return Accelerator(folder, NoBoard(compiled.config, **changed), memory)


@pytest.fixture
def drivers(request, tmp_path):
    """Return the program called in the test, and both drivers for it."""
    compiled = PROGRAMS[request.param]()
    folder = write_ip(compiled, tmp_path / "ip")
    board = NoBoard(compiled.config)
    c = CDriver(build_library(folder, compiled.name, tmp_path), read=board.read)
    assert c.init() == "OK"
    return compiled, c, python_driver(compiled, folder)


def test_layouts_are_different():
    modes = {name: make().input_layout.unroll for name, make in PROGRAMS.items()}
    assert modes["none"] == "none"
    assert modes["loader"] == "loader"
    assert {"taps", "columns"} <= set(modes.values())


@pytest.mark.parametrize("drivers", PROGRAMS, indirect=True)
def test_input(drivers):
    compiled, c, python = drivers
    layout = compiled.input_layout
    rng = np.random.default_rng(4)
    codes = rng.integers(layout.format.min, layout.format.max + 1, layout.shape)
    expected = layout.pack(codes)
    sizes = [len(compiled.program_image), len(compiled.weight_image)]
    first = sum(-(-size // 64) * 64 for size in sizes)
    for order in ("nchw", "nhwc"):
        c.memory[first:first + len(expected)] = 0x5A
        c.pack("codes", codes, order)
        assert c.memory[first:first + len(expected)].tobytes() == expected
    assert python.pack(codes) == expected
    values = np.ldexp(rng.normal(0, 0.4 * layout.format.max, layout.shape), -layout.format.frac)
    values = values.astype(np.float32)
    expected = layout.pack(layout.format.quantize(values))
    c.pack("floats", values, "nhwc")
    assert c.memory[first:first + len(expected)].tobytes() == expected
    assert python.pack(python.quantize(values)) == expected


@pytest.mark.parametrize("drivers", PROGRAMS, indirect=True)
def test_output(drivers):
    compiled, c, python = drivers
    layout = compiled.output_layout
    data = np.random.default_rng(5).bytes(layout.size)
    expected = layout.unpack(data)
    sizes = [len(compiled.program_image), len(compiled.weight_image), compiled.input_size]
    first = sum(-(-size // 64) * 64 for size in sizes)
    c.memory[first:first + len(data)] = np.frombuffer(data, np.uint8)
    for order in ("nchw", "nhwc"):
        assert np.array_equal(c.unpack("codes", layout.shape, order), expected)
        assert np.array_equal(
            c.unpack("floats", layout.shape, order), layout.format.dequantize(expected))
    assert c.lib.dynafix_argmax(c.device) == expected.argmax()
    assert np.array_equal(python.unpack(data), expected)


HALVES = np.array([-300, -128.5, -2.5, -1.75, -1.5, -0.5, -0.25, 0, 0.5, 1.5, 2.25, 2.5, 126.5,
                   127.49, 127.5, 300, 1e30, -1e30])


@pytest.mark.parametrize(("rounding", "frac"), [
    (Rounding.HALF_EVEN, 5), (Rounding.HALF_EVEN, 0), (Rounding.HALF_UP, -3),
    (Rounding.HALF_AWAY, 20), (Rounding.FLOOR, 1)])
def test_rounding(rounding, frac, tmp_path):
    config = replace(preset("tiny"), rounding=rounding)
    compiled = program(config, shape=(len(HALVES), 1, 1), kernel=(1, 1), pads=(0, 0, 0, 0))
    fmt = Format(8, frac)
    compiled.input_layout = replace(compiled.input_layout, format=fmt)
    folder = write_ip(compiled, tmp_path / "ip")
    c = CDriver(build_library(folder, compiled.name, tmp_path), read=NoBoard(config).read)
    assert c.init() == "OK"
    values = np.ldexp(HALVES, -frac).astype(np.float32)[:, None, None]
    expected = fmt.quantize(values, rounding)
    c.pack("floats", values, "nchw")
    assert compiled.input_layout.pack(expected) in c.memory.tobytes()
    assert np.array_equal(python_driver(compiled, folder).quantize(values), expected)


def test_pixels(tmp_path):
    """Codes of pixels are those that the float input would have got, channel by channel."""
    compiled = program(preset("tiny"))
    rule = Preprocess("image", mean=(125.3, 123.0, 113.9), std=(63.0, 62.1, 66.7))
    table = compiled.input_layout.format.quantize(rule.of_pixels())
    folder = write_ip(compiled, tmp_path / "ip", table)
    c = CDriver(
        build_library(folder, compiled.name, tmp_path), read=NoBoard(compiled.config).read)
    assert c.init() == "OK"
    picture = np.random.default_rng(6).integers(0, 256, (9, 10, 3), dtype=np.uint8)
    inputs = rule.apply(picture[None], (3, 9, 10))[0]
    expected = compiled.input_layout.format.quantize(inputs)
    assert c.pack("pixels", picture.transpose(2, 0, 1), "nhwc") == "OK"
    assert compiled.input_layout.pack(expected) in c.memory.tobytes()
    assert np.array_equal(python_driver(compiled, folder).pixel_codes(picture), expected)


@pytest.mark.parametrize("name", ["none", "taps", "loader", "16 bit"])
def test_ends(name, tmp_path):
    """Images are padded, shifted and scaled before they are rounded, and results back."""
    compiled = PROGRAMS[name]()
    layout, output = compiled.input_layout, compiled.output_layout
    channels, height, width = layout.shape
    rng = np.random.default_rng(7)
    ends = HostEnds(
        Intake(rng.normal(100, 30, channels).astype(np.float32),
               rng.uniform(0.01, 0.3, channels).astype(np.float32), (1, 2, 1, 0)),
        rng.uniform(0.5, 2, output.shape[0]), rng.normal(0, 9, output.shape[0]))
    pixels = rng.integers(0, 256, (channels, height - 2, width - 2), dtype=np.uint8)
    values = pixels.astype(np.float32)
    assert ends.image_shape(layout) == values.shape
    table = layout.format.quantize(ends.taken(np.arange(256, dtype=np.float32)[None]))
    codes = layout.format.quantize(ends.intake.apply(values[None])[0])
    assert len(np.unique(codes)) > 10
    folder = write_ip(compiled, tmp_path / "ip", table, ends)
    c = CDriver(
        build_library(folder, compiled.name, tmp_path), read=NoBoard(compiled.config).read)
    python = python_driver(compiled, folder)
    assert c.init() == "OK"
    first = sum(-(-len(image) // 64) * 64
                for image in (compiled.program_image, compiled.weight_image))
    expected = layout.pack(codes)
    for kind, source, order in (
            ("floats", values, "nchw"), ("pixels", pixels, "nhwc"), ("codes", codes, "nhwc")):
        c.memory[first:first + len(expected)] = 0x5A
        assert c.pack(kind, source, order) == "OK"
        assert c.memory[first:first + len(expected)].tobytes() == expected
    assert np.array_equal(python.quantize(values), codes)
    assert np.array_equal(python.pixel_codes(pixels.transpose(1, 2, 0)), codes)

    data = rng.bytes(output.size)
    first += -(-len(expected) // 64) * 64
    c.memory[first:first + len(data)] = np.frombuffer(data, np.uint8)
    scales, offsets = (each[:, None, None] for each in (ends.scales, ends.offsets))
    numbers = output.format.dequantize(output.unpack(data)) * scales + offsets
    assert np.array_equal(
        c.unpack("floats", output.shape, "nchw"), numbers.astype(np.float32))
    assert c.lib.dynafix_argmax(c.device) == numbers.argmax()


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """Return a program, its folder and its library."""
    compiled, place = program(preset("tiny")), tmp_path_factory.mktemp("plain")
    folder = write_ip(compiled, place / "ip")
    return compiled, folder, build_library(folder, compiled.name, place)


def test_no_pixels(plain):
    compiled, folder, library = plain
    c = CDriver(library, read=NoBoard(compiled.config).read)
    assert c.init() == "OK"
    assert c.pack("pixels", np.zeros((3, 9, 10)), "nchw") == "NO_PIXELS"
    with pytest.raises(DriverError, match=r"^The network has no rule for pixels; use run\(\) or"):
        python_driver(compiled, folder).pixel_codes(np.zeros((9, 10, 3), np.uint8))


@pytest.mark.parametrize(("changed", "status", "message"), [
    ({"ID": 0}, "WRONG_ID", (
        "There is no accelerator: register ID must be 0x584e5944, not 0x00000000")),
    ({"VERSION": 2}, "WRONG_VERSION", (
        "The accelerator has version 2 of the instruction set, the network version "
        f"{ISA_VERSION}; build both again")),
    ({"HASH_LO": 5, "HASH_HI": 0}, "WRONG_CONFIG", (
        "The accelerator has config hash 0x0000000000000005, the network was compiled for ")),
    ({"STATUS": 1}, "BUSY", "The accelerator still runs; wait, or load the design again"),
])
def test_another_accelerator(changed, status, message, plain):
    compiled, folder, library = plain
    c = CDriver(library, read=NoBoard(compiled.config, **changed).read)
    assert c.init() == status
    with pytest.raises(DriverError) as raised:
        python_driver(compiled, folder, **changed)
    assert str(raised.value).startswith(message)


@pytest.mark.parametrize(("address", "place"), [(4, "0x4"), (0xFFFF_FFC0, "0xffffffc0")])
def test_memory_out_of_sight(address, place, plain):
    compiled, folder, _ = plain
    with pytest.raises(DriverError, match=(
            rf"^Memory for program must start at a multiple of 64 and end below 4 GB, not be \d+ "
            rf"bytes at {place}$")):
        Accelerator(folder, NoBoard(compiled.config),
                    lambda shape, dtype: memory(shape, dtype, address))


def test_inputs_are_checked(plain):
    compiled, folder, _ = plain
    python = python_driver(compiled, folder)
    with pytest.raises(ValueError, match=(
            r"^Input codes must be integers of shape \(3, 9, 10\), not float64 of shape")):
        python.pack(np.zeros((3, 9, 10)))
    with pytest.raises(ValueError, match=r"^Input codes must be in -128\.\.127, not 0\.\.200$"):
        python.pack(np.arange(270).reshape(3, 9, 10).clip(0, 200))


def test_example_of_the_manual(plain, tmp_path):
    """The C code in docs/soc.md compiles, with the caches of the vendor's library declared."""
    folder = write_ip(replace(plain[0], name="lenet5_mnist"), tmp_path / "ip")
    text = (ROOT / "docs" / "soc.md").read_text("utf-8")
    (tmp_path / "example.c").write_text(re.findall(r"```c\n(.*?)```", text, re.DOTALL)[0])
    (tmp_path / "xil_cache.h").write_text(
        "#include <stdint.h>\ntypedef intptr_t INTPTR;\n"
        "void Xil_DCacheFlushRange(INTPTR start, INTPTR size);\n"
        "void Xil_DCacheInvalidateRange(INTPTR start, INTPTR size);\n")
    found = subprocess.run(
        ["cc", "-std=gnu99", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror",
         "-fsyntax-only", f"-I{folder / 'c'}", f"-I{tmp_path}", str(tmp_path / "example.c")],
        capture_output=True, text=True, check=False)
    assert found.stderr == ""


def test_registers_are_those_of_the_config():
    """The folder of one preset has the hash of no other."""
    from dynafix.api.packaging import accelerator_files

    found = {
        json.loads(dict(accelerator_files(config, 100.0))["accelerator.json"])["config_hash"]
        for config in PRESETS.values()}
    assert found == {f"{config.hash:#018x}" for config in PRESETS.values()}
