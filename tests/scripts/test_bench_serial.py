"""What an image costs on a serial line."""

import importlib.util
from pathlib import Path

import pytest

from arch.config import preset
from arch.isa import Region
from compiler.memory_image import place

from ..sim.network import small_program


ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def bench():
    spec = importlib.util.spec_from_file_location(
        "bench_serial", ROOT / "scripts" / "bench_serial.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_bytes_of_an_image(bench):
    program = small_program(preset("tiny"))[1]
    cost = bench.cost(program)
    # By hand: the input in two blocks, as it crosses a page, 13 bytes around each and 8 of answer;
    # the output, 11 and 8; PROGRAM, STATUS and CONTROL written, 17 and 8 each; STATUS, four words
    # and two read, 11 and 8.
    start = place(program).regions[Region.INPUT]
    assert start // 4096 + 1 == (start + program.input_size) // 4096
    assert cost.image == (
        program.input_size + 2 * 21 + program.output_size + 19 + 3 * 25 + 3 * 19 + 4 * (1 + 4 + 2))
    assert cost.load > len(program.program_image) + len(program.weight_image)
    assert cost.line_ms(10_000) == pytest.approx(cost.image)


def test_table(bench, monkeypatch, capsys):
    model = small_program(preset("tiny"))[0]
    monkeypatch.setattr(bench, "_networks", lambda folders: [("small", model)])
    assert bench.main(["--configs", "tiny", "tiny+1024", "--clock", "10"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "small, accelerator at 10 MHz; an image on the line, and loading"
    rows = [line.split()[:3] for line in lines[2:]]
    assert [row[:2] for row in rows] == [
        ["tiny", "0"], ["tiny", "500"], ["tiny+1024", "0"], ["tiny+1024", "500"]]
    assert all(int(b[2].replace(",", "")) <= int(a[2].replace(",", "")) for a, b in zip(
        rows[::2], rows[1::2], strict=True))
