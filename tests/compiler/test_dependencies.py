"""Tokens, fences and the order of the fetch."""

from arch.isa import Engine, Opcode
from compiler.dependencies import assign_tokens, find_needs
from compiler.ir import Instruction, Space, Span
from compiler.schedule import hoist_loads
from compiler.verify import happens_before


SIZES = {Space.FEATURE: 100, Space.WEIGHT: 100}


def item(opcode, reads=(), writes=(), note=""):
    return Instruction(
        opcode, {}, 0, note,
        tuple(Span(Space.FEATURE, *span) for span in reads),
        tuple(Span(Space.FEATURE, *span) for span in writes))


def load(*span, note=""):
    return item(Opcode.LOAD, writes=[span], note=note)


def calc(reads, *span, note=""):
    return item(Opcode.CONV, reads=[reads], writes=[span], note=note)


def save(*span):
    return item(Opcode.SAVE, reads=[span])


def tokens(instructions):
    assign_tokens(instructions, find_needs(instructions, SIZES))
    happens_before(instructions)
    return [
        (i.values["wait"], i.values["post"], i.values["fence"]) for i in instructions]


L, C, S = (1 << engine for engine in Engine)


def test_chain():
    assert tokens([load(0, 10), calc((0, 10), 20, 30), save(20, 30)]) == [
        (0, C, 0), (L, S, 0), (C, 0, 0)]


def test_write_after_read():
    assert tokens([load(0, 10), calc((0, 10), 20, 30), load(5, 6), calc((5, 6), 40, 50)]) == [
        (0, C, 0), (L, L, 0), (C, C, 0), (L, 0, 0)]


def test_what_does_not_touch_needs_no_token():
    assert tokens([load(0, 10), calc((30, 40), 50, 60), save(70, 80)]) == [(0, 0, 0)] * 3


def test_interleaved_rows_do_not_touch():
    assert tokens([calc((90, 91), 0, 9, 2), load(1, 10, 2)]) == [(0, 0, 0)] * 2


def test_implied_needs_get_no_token():
    both = [load(0, 5), load(5, 10), calc((5, 10), 20, 30), calc((0, 5), 30, 40)]
    assert tokens(both) == [(0, 0, 0), (0, C, 0), (L, 0, 0), (0, 0, 0)]


def test_needs_through_another_engine_get_no_token():
    # SAVE waits for the second CALC, which is later than the LOAD that both need.
    listed = [load(0, 5), calc((0, 5), 20, 30), item(Opcode.SAVE, reads=[(20, 30), (0, 5)])]
    assert tokens(listed) == [(0, C, 0), (L, S, 0), (C, 0, 0)]


def test_fence_once_for_each_stretch():
    listed = [
        calc((0, 1), 10, 20), calc((0, 1), 20, 30),
        calc((10, 30), 40, 50), calc((10, 30), 50, 60), calc((55, 56), 70, 71)]
    assert [fence for _, _, fence in tokens(listed)] == [0, 0, 1, 0, 1]


def test_loads_move_up_to_what_they_need():
    listed = [
        load(0, 10, note="a"), calc((0, 10), 20, 30, note="1"),
        load(10, 12, note="b"), calc((10, 12), 30, 40, note="2"),
        load(20, 22, note="c"), calc((20, 22), 40, 50, note="3")]
    order = hoist_loads(listed, find_needs(listed, SIZES))
    # c overwrites what 1 wrote, and 2 does not need it
    assert [i.note for i in order] == ["a", "b", "1", "c", "2", "3"]


def test_few_loads_stand_before_their_place():
    listed = []
    for n in range(20):
        listed += [load(n, n + 1, note="l"), calc((n, n + 1), 50 + n, 51 + n, note="c")]
    order = [i.note for i in hoist_loads(listed, find_needs(listed, SIZES), ahead=3)]
    assert "".join(order[:8]) == "llllclcl"
    assert order.count("l") == order.count("c") == 20


def test_hoisting_keeps_the_order_within_an_engine():
    listed = []
    for n in range(30):
        listed += [load(n % 7, n % 7 + 3), calc((n % 7, n % 7 + 2), 20 + n % 5, 22 + n % 5),
                   save(20 + n % 5, 22 + n % 5)]
    order = hoist_loads(listed, find_needs(listed, SIZES))
    for engine in Engine:
        assert [i for i in order if i.engine == engine] == [
            i for i in listed if i.engine == engine]
    assign_tokens(order, find_needs(order, SIZES))
    happens_before(order)
