"""Arithmetic of the PLLs, against the families' formulas."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.build.boards import BOARDS
from hw.build.errors import BuildError
from hw.build.pll import Ecp5Pll, Ice40Pll, in_mhz


def _ecp5(source, parameters):
    detector = source / parameters["CLKI_DIV"]
    vco = detector * parameters["CLKFB_DIV"] * parameters["CLKOP_DIV"]
    return detector, vco, vco / parameters["CLKOS_DIV"]


def _ice40(source, parameters):
    detector = source / (parameters["DIVR"].value + 1)
    vco = detector * (parameters["DIVF"].value + 1)
    return detector, vco, vco / 2 ** parameters["DIVQ"].value


def _gowin(source, parameters):
    detector = source / (parameters["IDIV_SEL"] + 1)
    output = detector * (parameters["FBDIV_SEL"] + 1)
    return detector, output * parameters["ODIV_SEL"], output


FORMULAS = {"ECP5": _ecp5, "iCE40": _ice40, "Gowin": _gowin}


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
@settings(max_examples=30, deadline=None)
@given(asked=st.fractions(20, 150, max_denominator=8))
def test_frequency_and_bounds(board, asked):
    rules = board.device.pll
    pll = rules.choose(board.source, asked)
    detector, vco, output = FORMULAS[board.device.technology.name](board.source, pll.parameters)
    assert (pll.vco, pll.output) == (vco, output)
    assert output <= asked
    assert asked - output <= 3  # the step of a detector of 3 MHz, the slowest there is
    for bounds, value in ((rules.pfd, detector), (rules.vco, vco), (rules.output, output)):
        assert bounds[0] <= value <= bounds[1]


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_nothing_is_closer(board):
    """The search over all settings of the family, done the plain way."""
    rules, asked = board.device.pll, Fraction(37)
    best = max(each.output for each in rules.settings(board.source) if each.output <= asked)
    assert asked - best <= 1
    assert rules.choose(board.source, asked).output == best


@pytest.mark.parametrize(("source", "asked"), [(25, 50), (25, 100), (25, 48), (100, 40)])
def test_ecp5(source, asked):
    pll = Ecp5Pll().choose(Fraction(source), Fraction(asked))
    assert asked - pll.output < Fraction(1, 2)


@settings(max_examples=30, deadline=None)
@given(asked=st.fractions(20, 150, max_denominator=8),
       lead=st.fractions(Fraction(1, 2), 5, max_denominator=8))
def test_ecp5_leading(asked, lead):
    """The second output has the frequency of the first, and lags by less than it does."""
    rules = Ecp5Pll()
    pll = rules.choose(Fraction(25), asked)
    found = rules.leading(pll, lead)
    parameters = found.parameters
    assert {**parameters, **pll.parameters} == parameters
    assert parameters["CLKOS2_DIV"] == parameters["CLKOS_DIV"]
    lags = [parameters[f"{name}_CPHASE"] + Fraction(parameters.get(f"{name}_FPHASE", 0), 8)
            for name in ("CLKOS", "CLKOS2")]
    assert found.lead == (lags[0] - lags[1]) * 1000 / pll.vco
    assert abs(found.lead - lead) <= Fraction(1000, 16) / pll.vco
    assert 0 <= parameters["CLKOS2_FPHASE"] < 8
    assert 0 <= parameters["CLKOS2_CPHASE"] < 128
    assert pll.lead == 0


def test_lead_longer_than_the_period():
    rules = Ecp5Pll()
    with pytest.raises(BuildError, match="^A clock of 100 MHz must be ahead by less than its "
                                         "period, not 12 ns$"):
        rules.leading(rules.choose(Fraction(25), Fraction(100)), Fraction(12))


def test_no_lead():
    rules = Ice40Pll()
    with pytest.raises(BuildError, match="has no second output"):
        rules.leading(rules.choose(Fraction(12), Fraction(24)), Fraction(2))


def test_ice40_as_icepll():
    """What ``icepll -i 12 -o 24`` of Project IceStorm prints."""
    parameters = Ice40Pll().choose(Fraction(12), Fraction(24)).parameters
    assert {name: parameters[name].value for name in ("DIVR", "DIVF", "DIVQ", "FILTER_RANGE")} == {
        "DIVR": 0, "DIVF": 63, "DIVQ": 5, "FILTER_RANGE": 1}


@pytest.mark.parametrize(("detector", "filters"), [
    (16, 1), (17, 2), (25, 2), (26, 3), (44, 4), (66, 5), (101, 6), (133, 6)])
def test_ice40_filter(detector, filters):
    pll = next(Ice40Pll().settings(Fraction(detector)))
    assert pll.parameters["DIVR"].value == 0
    assert pll.parameters["FILTER_RANGE"].value == filters


def test_too_slow():
    with pytest.raises(BuildError) as error:
        Ice40Pll().choose(Fraction(12), Fraction(10))
    assert str(error.value) == (
        "The clock must be at least 16.125 MHz with the PLL of this board (12 MHz in), not 10 MHz")


def test_source_out_of_bounds():
    with pytest.raises(BuildError, match="made another way"):
        Ecp5Pll().choose(Fraction(4), Fraction(50))
    assert in_mhz(Fraction(4)) == "4"
