"""Networks as C source: names, texts, tables. That it works is tested with the driver."""

from dataclasses import replace

import numpy as np
import pytest

from arch.config import preset
from compiler.c_network import c_name, network_header, network_source
from compiler.errors import CompileError
from compiler.host_ends import HostEnds
from tests.sim.network import small_program


@pytest.fixture(scope="module")
def program():
    return small_program(preset("tiny"))[1]


@pytest.mark.parametrize(("name", "expected"), [
    ("LeNet-5 (MNIST)", "lenet_5_mnist"), ("--", "net_"), ("for", "net_for"),
    ("dynafix_run", "net_dynafix_run"), ("Zürich", "z_rich")])
def test_names(name, expected):
    assert c_name(name) == expected


def test_names_that_are_no_c(program):
    text = network_source(replace(program, name='a"b\\c?? */\nd'), HostEnds())
    assert '.name = "a\\042b\\134c\\077\\077 */\\012d",' in text
    assert text.splitlines()[0] == '/* a"b\\c?? * /?d: see a_b_c_d.h. Generated; do not edit. */'
    header = network_header(replace(program, name='a"b\\c?? */\nd'), HostEnds())
    assert header.count("*/") == 2


def test_sizes(program):
    text = network_header(program, HostEnds())
    assert f"SMALL_PROGRAM_SIZE                       {len(program.program_image)}\n" in text
    assert "SMALL_OUTPUT_CHANNELS                    10\n" in text
    assert "extern const dynafix_network small;" in text


def test_pixels_are_checked(program):
    codes = np.zeros((2, 256), np.int64)
    with pytest.raises(ValueError, match=(
            r"^Codes of pixels must have shape \(3, 256\) or \(1, 256\), not \(2, 256\)$")):
        network_source(program, HostEnds(), codes)
    with pytest.raises(ValueError, match=r"^Codes of pixels must be in -128\.\.127, not 0\.\.200"):
        network_source(program, HostEnds(), np.minimum(np.arange(256), 200)[None])


def test_unknown_way_of_packing(program):
    layout = replace(program.input_layout, unroll="spiral")
    with pytest.raises(CompileError, match="^The C driver cannot pack an input that is unrolled"):
        network_source(replace(program, input_layout=layout), HostEnds())
