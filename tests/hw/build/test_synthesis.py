"""What Yosys prints, read."""

import json

import pytest
from amaranth.back import rtlil
from amaranth.hdl import Module
from amaranth.lib.memory import Memory

from hw.build.components import COMPONENTS, component
from hw.build.errors import BuildError
from hw.build.synthesis import parse_stat, pass_name, total_cells, without_collisions


def test_cells():
    text = json.dumps({"modules": {
        "\\top": {"num_cells_by_type": {"LUT4": 3, "DP16KD": 1}},
        "\\top.calc": {"num_cells_by_type": {"LUT4": 4}}}})
    assert parse_stat(text) == {"top": {"LUT4": 3, "DP16KD": 1}, "top.calc": {"LUT4": 4}}
    assert total_cells(text) == {"LUT4": 7, "DP16KD": 1}


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"modules": {"a": {}}}', '{"modules": 3}'])
def test_no_statistics(text):
    with pytest.raises(BuildError, match="^Yosys printed no statistics"):
        parse_stat(text)


@pytest.mark.parametrize(("line", "name"), [
    ("1. Executing RTLIL frontend.", "RTLIL"),
    ("2.24.13.1. Executing ABC9_OPS pass (helper functions for ABC9).", "ABC9_OPS"),
    ("Removed 13 unused cells and 1077 unused wires.", None), ("   2.4. Executing X pass", None)])
def test_pass_names(line, name):
    assert pass_name(line) == name


@pytest.mark.parametrize(("path", "name"), [
    ("design.accelerator.calc.array.a_reg_TRELLIS_FF_Q", "multiplier array"),
    ("design.accelerator.calc.acc$145.array.0.0", "accumulator memory"),
    ("design.accelerator.m_axi__wlast_LUT4_C", "between them"),
    ("design.memory.array.0.0", "memory"), ("clock_reset.left_TRELLIS_FF_Q", "clock_reset"),
    ("$PACKER_VCC", "top")])
def test_components_of_cells(path, name):
    assert component(path) == name


def test_every_path_has_one_component():
    paths = [path for group in COMPONENTS.values() for path in group]
    assert len(paths) == len(set(paths))
    for name, group in COMPONENTS.items():
        for path in group:
            assert component(f"design.accelerator.{path or 'x'}.y") == name


def test_collisions_matter_only_where_they_are_said_to():
    m = Module()
    for name, attrs in (("plain", {}), ("unchecked", {"no_rw_check": 1})):
        m.submodules[name] = memory = Memory(shape=8, depth=16, init=[], attrs=attrs)
        memory.read_port()
        memory.write_port()
    text = rtlil.convert(m, ports=[], emit_src=False)
    before, after = text.splitlines(), without_collisions(text).splitlines()
    changed = [
        (number, line) for number, (old, line) in enumerate(zip(before, after, strict=True))
        if old != line]
    (number, line), = changed
    assert line == r"    parameter \COLLISION_X_MASK 1'1"
    assert r"\\unchecked" in "\n".join(before[number - 5:number])
