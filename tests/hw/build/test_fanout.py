"""Copies of cells that drive many others."""

import copy
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.build.fanout import split_fanout


def _cell(kind, inputs, output=None, bel=None, **parameters):
    name = {"TRELLIS_FF": "Q", "LUT4": "Z"}.get(kind, "O")
    return {
        "type": kind, "parameters": parameters, "attributes": {"BEL": bel} if bel else {},
        "port_directions": {**dict.fromkeys(inputs, "input"),
                            **({name: "output"} if output else {})},
        "connections": {**{port: [bit] for port, bit in inputs.items()},
                        **({name: [output]} if output else {})}}


def _module(users, kind="TRELLIS_FF", port="A", user="LUT4", **parameters):
    """A register or LUT (2 -> 3) with ``users`` LUTs in two clusters with known places."""
    cells = {
        "before": _cell("TRELLIS_FF", {"DI": 1, "CLK": 9}, 2),
        "source": _cell(kind, {"DI": 2, "CLK": 9} if kind == "TRELLIS_FF" else {"A": 2}, 3,
                        **parameters)}
    for number in range(users):
        side = 4 + 100 * (number % 2)
        cells[f"use_{number}"] = _cell(user, {port: 3}, 10 + number)
        cells[f"far_{number}"] = _cell(
            "MULT18X18D", {"A0": 10 + number}, bel=f"X{side}/Y10/MULT18_0")
    return {"cells": cells, "netnames": {}}


def _driver(module, bit):
    return next(name for name, cell in module["cells"].items()
                for port, bits in cell["connections"].items()
                if bits == [bit] and cell["port_directions"][port] == "output")


@pytest.mark.parametrize("kind", ["TRELLIS_FF", "LUT4"])
def test_each_copy_serves_one_place(kind):
    module = _module(20, kind)
    assert split_fanout(module, 10) == 1
    serves = {number: _driver(module, module["cells"][f"use_{number}"]["connections"]["A"][0])
              for number in range(20)}
    assert set(serves.values()) == {"source", "source~1"}
    assert len({serves[number] for number in range(0, 20, 2)}) == 1
    first, second = (module["cells"][name] for name in ("source", "source~1"))
    assert first["parameters"] == second["parameters"]
    port = {"TRELLIS_FF": "DI", "LUT4": "A"}[kind]
    assert first["connections"][port] == second["connections"][port] == [2]
    assert {tuple(net["bits"]) for net in module["netnames"].values()} == {
        tuple(second["connections"][{"TRELLIS_FF": "Q", "LUT4": "Z"}[kind]])}
    assert module["netnames"].keys().isdisjoint(module["cells"])


@pytest.mark.parametrize(("changes", "copies"), [
    ({}, 3), ({"CE": [8]}, 1), ({"CE": ["1"]}, 3), ({"DI": [10]}, 1)])
def test_a_register_behind_another_has_its_own_limit(changes, copies):
    module = _module(20)
    source = module["cells"]["source"]
    source["connections"] |= changes
    source["port_directions"] |= dict.fromkeys(changes, "input")
    assert split_fanout(module, 10, relayed=5) == copies


def test_what_leads_to_many_copies_has_copies():
    module = _module(90)
    split_fanout(module, 4)
    loads = Counter(
        bit for cell in module["cells"].values() for port, (bit,) in cell["connections"].items()
        if cell["port_directions"][port] == "input" and port != "CLK")
    del loads[1]  # the input of the module
    assert max(loads.values()) <= 4
    assert sum(name.startswith("before") for name in module["cells"]) > 1


def test_what_belongs_together_stays_together():
    module = _module(20)
    together = {f"use_{number}": number % 4 // 3 for number in range(20)}
    split_fanout(module, 6, together)
    drivers = [{_driver(module, module["cells"][f"use_{number}"]["connections"]["A"][0])
                for number in range(20) if together[f"use_{number}"] == each} for each in (0, 1)]
    assert [len(found) for found in drivers] == [1, 1]
    assert drivers[0] != drivers[1]


@pytest.mark.parametrize("module", [
    _module(20, SRMODE="ASYNC"),           # a synchronizer's
    _module(20, port="CLK", user="TRELLIS_FF"),
    _module(20, port="ALUT", user="PFUMX"),  # no wire of the router
    _module(20, kind="CCU2C"),
    _module(10)])
def test_these_stay(module):
    before = copy.deepcopy(module)
    assert split_fanout(module, 10) == 0
    assert module == before


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 999), st.integers(1, 9))
def test_same_function(seed, limit):
    """Every input still has the driver that it had, or a copy of it."""
    rng = np.random.default_rng(seed)
    cells = {"fixed": _cell("MULT18X18D", {"A0": 100}, bel="X4/Y10/MULT18_0")}
    for number in range(40):
        ports = {port: 100 + int(rng.integers(6)) for port in "ABCD"}
        cells[f"cell_{number}"] = _cell("LUT4", ports, 100 + number, INIT=number)
    module = {"cells": cells, "netnames": {}}
    before = copy.deepcopy(cells)
    split_fanout(module, limit)
    for name, cell in cells.items():
        origin = before[name.partition("~")[0]]
        assert cell["parameters"] == origin["parameters"]
        for port, (bit,) in cell["connections"].items():
            if cell["port_directions"][port] == "input" and bit >= 106:
                assert _driver(module, bit).partition("~")[0] == _driver(
                    {"cells": before}, origin["connections"][port][0])
