"""Where maps go: allocation, spills, tiles."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arch.config import preset
from compiler import DramTiming, compile_model
from compiler.fusion import single_layers
from compiler.memory_map import allocate, plan_memory
from compiler.plan import plan_layers
from compiler.tiling import Costs, place

from .configs import NANO, SQUARE
from .networks import NetworkBuilder


items = st.lists(st.tuples(
    st.integers(1, 20), st.integers(0, 9), st.integers(0, 4)), min_size=1, max_size=12)


@given(items)
def test_items_alive_together_never_overlap(found):
    spans = {
        str(n): (size, first, first + length) for n, (size, first, length) in enumerate(found)}
    total = sum(size for size, _, _ in spans.values())
    starts = allocate(((name, *span) for name, span in spans.items()), total)
    assert starts is not None
    for a, (size_a, first_a, last_a) in spans.items():
        assert 0 <= starts[a] <= total - size_a
        for b, (size_b, first_b, last_b) in spans.items():
            if a < b and first_a <= last_b and first_b <= last_a:
                assert starts[a] + size_a <= starts[b] or starts[b] + size_b <= starts[a]


def test_allocation_that_does_not_fit():
    assert allocate([("a", 6, 0, 1), ("b", 6, 1, 2)], 11) is None
    assert allocate([("a", 6, 0, 1), ("b", 6, 2, 3)], 11) == {"a": 0, "b": 0}


def test_banks_are_only_a_wish():
    apart = {"bank": 8, "apart": ("a", "b")}
    assert allocate([("a", 6, 0, 1), ("b", 4, 0, 1)], 16, **apart) == {"a": 0, "b": 8}
    assert allocate([("a", 6, 0, 1), ("b", 4, 0, 1)], 11, **apart) == {"a": 0, "b": 6}


def test_place_from_both_ends():
    assert place([3, 2], [4], [(0, 10), (20, 30)]) == ([0, 3], [26])
    assert place([8, 8], [2], [(0, 10), (20, 30)]) == ([0, 20], [28])
    assert place([8, 8], [3], [(0, 10), (20, 30)]) is None


def plan(builder, config):
    model = builder.model()
    tasks = plan_layers(model, config)
    return tasks, plan_memory(
        single_layers(tasks), "input", model.graph.output, Costs(config, DramTiming()))


def test_everything_that_fits_stays_on_chip():
    b = NetworkBuilder(np.random.default_rng(0), (8, 16, 16))
    x = b.conv("input", 8, (3, 3), pads=(1, 1, 1, 1))
    y = b.conv(x, 8, (3, 3), pads=(1, 1, 1, 1))
    b.add(x, y)
    tasks, memory = plan(b, preset("small"))
    assert set(memory.resident) == {"input"} | {task.output.name for task in tasks}
    assert memory.scratch_size == 0
    assert all(tiling.output_slots is None for tiling in memory.tilings)


def test_only_what_must_is_spilled():
    # conv0_out is read twice, so that spilling conv2_out moves fewer bytes.
    b = NetworkBuilder(np.random.default_rng(0), (4, 12, 10))
    x = b.conv("input", 4, (1, 1))
    y = b.conv(x, 4, (1, 2))
    y = b.conv(y, 4, (3, 3), pads=(1, 1, 1, 1))
    b.add(y, b.conv(x, 4, (1, 2)))
    _, memory = plan(b, NANO)
    spilled = {name for name in memory.dram if name not in ("input", b.nodes[-1].output)}
    assert spilled == {"conv2_out"}


def test_scratch_is_reused():
    b = NetworkBuilder(np.random.default_rng(0), (4, 30, 30))
    x = "input"
    for _ in range(6):
        x = b.conv(x, 4, (1, 1))
    _, memory = plan(b, NANO)
    assert memory.scratch_size == 2 * 900 * 4


def test_output_tiles_are_balanced_or_grow():
    b = NetworkBuilder(np.random.default_rng(0), (4, 9, 8))
    b.conv("input", 4, (1, 1))
    _, memory = plan(b, SQUARE)  # 32 accumulators: 4 lines of 8
    lines = [rect.lines for rect in memory.tilings[0].rects]
    assert sum(lines) == 9
    assert max(lines) <= 4
    assert max(lines) - min(lines) <= 1 or lines[:-1] == sorted(lines[:-1])


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_tiles_follow_the_cheaper_order(depth):
    # Deep weights over small maps: weights once, maps several times; and the other way round.
    b = NetworkBuilder(np.random.default_rng(0), (8 * depth, 30, 6))
    b.conv("input", 8 * depth, (3, 3))
    program = compile_model(b.model(), SQUARE)
    traffic = program.prediction.traffic
    maps = program.input_size
    weights = len(program.weight_image)
    assert traffic["weights"] == weights or traffic["maps_in"] < 2 * maps
