"""The CALC engine on products, held operands, slopes and tables."""

from dataclasses import replace

import pytest

from arch.isa import VectorOp

from .test_calc import BOUNDS, CONFIG, WIDE, add, conv, pool, run


def table(config, **changes):
    """Return ten rows looked up in a table."""
    wide = 8 * (config.data_bits > 8)
    return add(**{
        "layer": 5, "op": VectorOp.TABLE.value, "count_0": config.table_steps, "word_0": 0,
        "word_2": 2, "table": 2, "shift_a": wide, "shift_b": wide, "shift": wide, "lo": -100,
        **changes})


def held(**changes):
    """Return the sum of ten rows and one other."""
    return add(**{
        "layer": 6, "count_0": 1, "word_0": 0, "word_2": 2, "hold": 1, "word_b": 70, **changes})


@pytest.mark.parametrize("signed", [0, 1])
def test_products(signed):
    run(18, [
        add(op=VectorOp.PRODUCT.value, signed=signed, shift=7),
        held(op=VectorOp.PRODUCT.value, signed_b=signed, shift=6, row=240, fence=0, lo=-90),
        add(row=230, fence=0)])


def test_a_held_operand_counts_for_its_instruction_only():
    run(19, [
        held(), pool(row=0, fence=0), held(word_b=72, row=240, fence=0, shift_b=5),
        add(row=20, fence=0), held(word_b=74, row=30, fence=0, count_2=1),
        held(word_b=76, row=31, fence=0, count_2=1), conv(row=140, fence=0)])


def test_slopes():
    slopes = {"op": VectorOp.PRELU.value, "signed_b": 1, "shift_a": 7, "shift": 7, "lo": -128}
    run(20, [
        held(**slopes), held(**slopes, signed=0, row=240, fence=0),
        held(**slopes, word_b=78, row=20, fence=0), pool(row=50, fence=0)])


@pytest.mark.parametrize("config", [
    CONFIG, replace(CONFIG, table_lanes=4), replace(CONFIG, table_lanes=1), WIDE,
    replace(WIDE, table_lanes=4)], ids=lambda config: (
        f"{config.table_lanes} lanes of {config.data_bits} bits"))
def test_tables(config):
    wide = {"lo": -30000, "hi": 50000} if config.data_bits > 8 else {}
    run(21, [
        table(config, **wide), table(config, **wide, row=20, table=0, fence=0),
        held(row=40, fence=0, **wide), table(config, **wide, row=50, table=3, fence=0),
        table(config, **wide, row=60, shift_b=0, fence=0), conv(row=140, fence=0)], config)


def test_without_tables():
    run(22, [add(), held(row=40, fence=0)], replace(CONFIG, table_lanes=0))


def test_operands_of_16_bits():
    run(23, [
        add(op=VectorOp.PRODUCT.value, shift=15, fence=0, **BOUNDS),
        held(op=VectorOp.PRODUCT.value, signed=0, shift=17, fence=0, row=30, **BOUNDS),
        held(op=VectorOp.PRELU.value, signed_b=1, shift_a=15, shift=15, row=60, **BOUNDS)], WIDE)
