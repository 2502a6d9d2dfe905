import random
from collections import deque

import numpy as np
import pytest
from amaranth import Module, ResetInserter, Signal

from hw.unroller import UNROLL_LAYOUT, Unroller

from .bench import simulate


def unrolled(codes, fields, width):
    """Return the rows' bytes, by hand: lines of bytes (map_lines, map_beats * width)."""
    rows = []
    top = -fields["lines_above"]
    for y in range(top, top + fields["stride_lines"] * fields["output_lines"],
                   fields["stride_lines"]):
        for position in range(fields["positions"]):
            x = position * fields["advance"] - fields["before"]
            for line in range(y, y + fields["kernel_lines"]):
                for place in range(x, x + fields["segment"]):
                    inside = 0 <= line < len(codes) and 0 <= place < codes.shape[1]
                    rows.append(codes[line, place] if inside else 0)
            rows += [0] * fields["fill"]
    return np.array(rows, np.uint8).reshape(-1, width)


def geometry(rng, width, size, row_size):
    """Return the fields of a random convolution whose lines fit the ring, and its input."""
    while True:
        kernel_lines, columns = rng.randint(1, 5), rng.randint(1, 5)
        channels = rng.randint(1, 4)
        stride_lines, stride = rng.randint(1, 3), rng.randint(1, 3)
        above, before = rng.randrange(kernel_lines), rng.randrange(columns)
        map_lines, map_columns = rng.randint(1, 9), rng.randint(1, 11)
        map_beats = -(-map_columns * channels * size // width)
        below, after = rng.randrange(kernel_lines), rng.randrange(columns)
        output_lines = (map_lines + above + below - kernel_lines) // stride_lines + 1
        positions = (map_columns + before + after - columns) // stride + 1
        if output_lines < 1 or positions < 1:
            continue
        last = (output_lines - 1) * stride_lines - above + kernel_lines
        taps = kernel_lines * columns * channels * size
        return {
            "kernel_lines": kernel_lines, "stride_lines": stride_lines, "lines_above": above,
            "map_lines": min(map_lines, last), "map_beats": map_beats,
            "segment": columns * channels * size, "advance": stride * channels * size,
            "before": before * channels * size, "positions": positions,
            "fill": -taps % row_size, "output_lines": output_lines}


@pytest.mark.parametrize(("width", "code_width"), [(4, 8), (8, 8), (8, 16), (32, 16)])
@pytest.mark.parametrize("shares", [(1, 1), (0.4, 1), (1, 0.5), (0.6, 0.6)], ids=str)
def test_random(width, code_width, shares):
    """Jobs one after the other, with a ring that holds little more than a kernel."""
    rng = random.Random(f"{width} {code_width} {shares}")
    jobs = [geometry(rng, width, code_width // 8, width * 2) for _ in range(8)]
    least = max(job["map_beats"] * max(job["kernel_lines"], 1) for job in jobs)
    dut = Unroller(width=width * 8, depth=1 << (least - 1).bit_length(), code_width=code_width)
    clear = Signal()
    m = Module()
    m.submodules.dut = ResetInserter(clear)(dut)

    async def main(ctx):
        for number, job in enumerate(jobs):
            codes = np.random.default_rng(number).integers(
                1, 256, (job["map_lines"], job["map_beats"] * width), np.uint8)
            expected = unrolled(codes, job, width)
            for name in UNROLL_LAYOUT.members:
                ctx.set(dut.job[name], job[name])
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            lines = deque(int.from_bytes(beat.tobytes(), "little")
                          for beat in codes.reshape(-1, width))
            got = []
            while len(got) < len(expected):
                given = bool(lines) and rng.random() < shares[0]
                ctx.set(dut.i.valid, given)
                ctx.set(dut.i.payload, lines[0] if given else 0)
                ctx.set(dut.o.ready, rng.random() < shares[1])
                ends = len(got) + 1 == len(expected)
                ctx.set(clear, ctx.get(ends & dut.o.valid & dut.o.ready))
                _, _, taken, moved, payload = await ctx.tick().sample(
                    dut.i.valid & dut.i.ready, dut.o.valid & dut.o.ready, dut.o.payload)
                if taken:
                    lines.popleft()
                if moved:
                    got.append(list(payload.to_bytes(width, "little")))
            ctx.set(clear, 0)
            np.testing.assert_array_equal(got, expected, err_msg=f"{job}")
            assert not lines

    simulate(m, main)
