"""The whole way, with stand-ins for the tools, and once with the tools themselves."""

import json
from fractions import Fraction

import pytest

from hw.build import tools
from hw.build.boards import BOARDS, board
from hw.build.clock import clocked_board
from hw.build.errors import BuildError, StalledError
from hw.build.progress import MOST_PASSES, PlaceProgress, Progress
from hw.build.run import build, write_netlist
from hw.build.tools import TOOLS

from .echo import Echo
from .test_report import REPORT


YOSYS = """
[ "$1" = -V ] && echo "Yosys 1.0 (git sha1 abc)" && exit
[ "$1" = -p ] && echo "$2" > top.v && cat top.json >> top.v && exit
echo "2.1. Executing SYNTH_ECP5 pass."
echo yosys >> {runs}
grep -q tee top.ys || exit 3
cells='"LUT4": {luts}, "DP16KD": 3'
echo '{{"modules": {{"top": {{"num_cells_by_type": {{'"$cells"'}}}}}}}}' > stat.json
echo '{{"modules": {{}}}}' > top.json
"""
NEXTPNR = """
[ "$1" = -V ] && echo "(Version nextpnr-1.0)" && exit
[ "$1" = --help ] && echo "--placer arg  available: sa, heap; default: heap" && echo "\
  --tmg-ripup" && exit
echo nextpnr >> {runs}
while [ $# -gt 0 ]; do
  [ "$1" = --seed ] && seed=$2
  [ "$1" = --freq ] && freq=$2
  [ "$1" = --tmg-ripup ] && late=$seed
  shift
done
if [ "$late" = 5 ]; then
  echo "Info: Running router2..."
  for pass in $(seq 200); do
    echo "Info:  iter=$pass wires=9 overused=0 overuse=0 tmgfail=1 archfail=NA"
  done
  sleep 100
fi
[ "$seed" = 2 ] && echo "ERROR: no place" && exit 1
cat top.json top.lpf > /dev/null || exit 4
sed "s/142.857/$((seed * 20)).5/; s/46.875/$freq/" {report} > report.json
echo "seed $seed" > top.config
"""
ECPPACK = "echo ecppack >> {runs}; cat top.config > top.bit; echo packed >> top.bit"


class Listener(Progress):
    def __init__(self):
        self.phases = []

    def end(self, phase, text):
        self.phases.append(phase)


@pytest.fixture
def stand_ins(tmp_path, monkeypatch):
    """Return a function that builds with scripts in the place of the tools of ECP5."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (tmp_path / "report.json").write_text(json.dumps(REPORT))
    runs = tmp_path / "runs"
    runs.touch()

    def make(*, luts=50, freq=50, seeds=(1,), **options):
        values = {"runs": runs, "luts": luts, "report": tmp_path / "report.json"}
        for name, text in (("yosys", YOSYS), ("nextpnr-ecp5", NEXTPNR), ("ecppack", ECPPACK)):
            text = f"#!/bin/sh\n{text.format(**values)}"
            if not (folder / name).exists() or (folder / name).read_text() != text:
                (folder / name).write_text(text)
                (folder / name).chmod(0o755)
        runs.write_text("")
        clocked = clocked_board(board("colorlight-i5"), Fraction(freq))
        found = build(Echo, clocked, name="echo", seeds=seeds, cache=tmp_path / "cache",
                      **options)
        return found, runs.read_text().split()

    monkeypatch.setattr(tools.shutil, "which", lambda name: None)
    find = tools.find_tools
    monkeypatch.setattr("hw.build.run.find_tools", lambda names: find(
        names, lambda name: str(folder / name) if (folder / name).exists() else None))
    return make


def test_best_seed(stand_ins):
    listener = Listener()
    found, runs = stand_ins(seeds=(1, 2, 3), progress=listener, jobs=1)
    assert runs == ["yosys", "nextpnr", "nextpnr", "nextpnr", "ecppack"]
    assert found.seed == 3
    assert found.bitstream == b"seed 3\npacked\n"
    assert found.seeds[1] == {"sync": 20.5}
    assert found.seeds[3] == {"sync": 60.5}
    assert found.seeds[2].startswith("nextpnr-ecp5 failed: ERROR: no place (log in ")
    assert found.report.fmax_mhz == {"sync": 60.5}
    assert found.report.asked_mhz == {"sync": 50.0}
    assert found.used == {"lut4": 52, "ff": 0, "block_ram": 3, "multipliers": 0}
    assert listener.phases == ["elaborate", "synthesize", "place", "pack"]
    assert found.tools["yosys"] == "Yosys 1.0 (git sha1 abc"


def test_kept_by_content(stand_ins):
    stand_ins(seeds=(3,))
    assert stand_ins(seeds=(3,))[1] == []
    assert stand_ins(seeds=(3, 4))[1] == ["nextpnr", "ecppack"]
    assert stand_ins(seeds=(3,), freq=40)[1] == ["yosys", "nextpnr", "ecppack"]
    assert stand_ins(seeds=(3,))[1] == []


def test_netlist_is_that_of_the_build(stand_ins, tmp_path):
    stand_ins(seeds=(3,))
    clocked = clocked_board(board("colorlight-i5"), Fraction(50))
    write_netlist(Echo, clocked, tmp_path / "netlist.v", cache=tmp_path / "cache")
    assert (tmp_path / "runs").read_text().split() == ["yosys", "nextpnr", "ecppack"]
    assert (tmp_path / "netlist.v").read_text() == (
        "read_json top.json; rename -hide; write_verilog -noattr top.v\n{\"modules\": {}}")


def test_another_version_of_a_tool(stand_ins, monkeypatch):
    stand_ins(seeds=(3,))
    monkeypatch.setitem(globals(), "NEXTPNR", NEXTPNR.replace("nextpnr-1.0", "nextpnr-1.1"))
    assert stand_ins(seeds=(3,))[1] == ["nextpnr", "ecppack"]


def test_clock_not_met(stand_ins, tmp_path):
    with pytest.raises(BuildError) as error:
        stand_ins(seeds=(1,))
    assert str(error.value) == (
        "echo on Colorlight i5 reaches 20.5 MHz on clock sync, not the 50.0 MHz asked. Critical "
        "path: requantizer → vector unit: calc.requantizer.shift → calc.vector.sum (1 level, "
        "7.0 ns, 86 % routing). Ask for less (--freq 20), or try several placements (--seeds 4), "
        "or take the file all the same (--force)")
    assert not list((tmp_path / "cache").glob("packed-*"))
    found, runs = stand_ins(seeds=(1,), force=True)
    assert runs == ["ecppack"]
    assert not found.report.met


def test_does_not_fit(stand_ins, tmp_path):
    with pytest.raises(BuildError, match=r"^echo does not fit Colorlight i5 \(LFE5U-25F\): 5 712 "
                                         r"LUT4 too many \(30 000 of 24 288\)\. Boards that have"):
        stand_ins(luts=30_000)
    assert not list((tmp_path / "cache").glob("placed-*"))


def test_all_placements_fail(stand_ins, tmp_path):
    with pytest.raises(BuildError, match="ERROR: no place") as error:
        stand_ins(seeds=(2,))
    log = tmp_path / "cache" / "failed-nextpnr-ecp5.log"
    assert str(error.value) == f"nextpnr-ecp5 failed: ERROR: no place (log in {log})"
    assert log.read_text() == "ERROR: no place\n"
    assert not [path for path in (tmp_path / "cache").glob(".*") if path.is_dir()]


def test_progress_of_a_placement():
    """Lines of nextpnr-ecp5 0.11.1, in order."""
    progress, texts = PlaceProgress(), []
    for line in (
        "Info: Packing carries...",
        "Info: Creating initial analytic placement for 18 cells, random placement wirelen = 1322.",
        "Info:     at iteration #7, type ALL: wirelen solved = 259, spread = 280, legal = 291;",
        "Info: Running simulated annealing placer for refinement.",
        "Info:   at iteration #15: temp = 0.000000, timing cost = 11, wirelen = 295",
        "Info: Routing..",
        "Info: Routing 4000 arcs.",
        "Info:       1000 |       80        919 |   80   919 |      3001|       0.30       0.30|",
    ):
        progress.line(line)
        texts.append(progress.text)
    progress.finish()
    assert texts == ["packing", "placing", "placing, step 7", "placing, step 7",
                     "refining, step 15", "routing", "routing", "routing, 25 %"]
    assert list(progress.seconds) == ["pack", "place", "route"]


def test_progress_of_the_other_placer():
    progress, texts = PlaceProgress(), []
    for line in ("Info: Packing carries...", "Info: Running Static placer...",
                 "Info: iter=4 steplen=0.727777 a=3.294880 penalty=[0.00, 0.00, 0.00, 0.00]"):
        progress.line(line)
        texts.append(progress.text)
    assert texts == ["packing", "placing", "placing, step 4"]


def test_progress_of_the_other_router():
    progress = PlaceProgress()
    for line in ("Info: Running Static placer...", "Info: Routing globals...",
                 "Info: Running router2...", "Info: Running main router loop...",
                 "Info:     iter=3 wires=4321 overused=56 overuse=60 tns=0.0 archfail=NA"):
        progress.line(line)
    assert progress.text == "routing, pass 3, 56 wires taken twice"
    assert list(progress.seconds) == ["pack", "place"]
    progress.line("Info: Routing..")
    assert progress.text == "routing, pass 3, 56 wires taken twice"


def test_a_router_that_comes_no_further():
    """A pass is better with fewer wires taken twice or late."""
    progress = PlaceProgress()
    said = "Info:     iter={} wires=9 overused={} overuse=9 tmgfail={} archfail=NA"
    progress.line("Info: Running router2...")
    progress.line(said.format(1, 5, 0))
    progress.line(said.format(2, 1, 3))
    assert progress.text == "routing, pass 2, 1 wires taken twice, 3 late"
    for number in range(MOST_PASSES - 1):
        progress.line(said.format(3 + number, 0, 4))
    progress.line(said.format(300, 0, 3))
    for number in range(MOST_PASSES - 1):
        progress.line(said.format(301 + number, 0, 3))
    with pytest.raises(StalledError, match="^nextpnr leaves 3 wires late, pass after pass$"):
        progress.line(said.format(999, 0, 3))


def test_late_wires_are_left_where_nothing_helps(stand_ins):
    """A second run does without the option."""
    found, runs = stand_ins(seeds=(5,))
    assert runs == ["yosys", "nextpnr", "nextpnr", "ecppack"]
    assert found.seeds == {5: {"sync": 100.5}}


@pytest.mark.parametrize("each", BOARDS.values(), ids=BOARDS)
def test_clock(each):
    assert clocked_board(each).frequency <= each.usual
    assert clocked_board(each, each.source).pll is None
    platform = each.make_platform()
    assert platform.lookup(each.clock).clock.frequency == each.source * 1_000_000


@pytest.mark.slow
@pytest.mark.parametrize("name", BOARDS)
def test_with_the_tools(name, tmp_path):
    """A small design, to the file; minutes for the largest chips."""
    each = board(name)
    missing = [tool for tool in each.make_platform().required_tools
               if tool in TOOLS and TOOLS[tool].find() is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}: {tools.INSTALL}")
    found = build(Echo, clocked_board(each, Fraction(48)), name="echo", cache=tmp_path)
    assert found.report.met
    assert len(found.bitstream) > 10_000
    assert 20 < found.used["lut4"] < 200
    assert 20 < found.used["ff"] < 200


def test_ice40_with_the_tools(tmp_path):
    """The quickest of them, so that one always runs where the tools are."""
    for tool in ("yosys", "nextpnr-ice40", "icepack"):
        if TOOLS[tool].find() is None:
            pytest.skip(f"needs {tool}: {tools.INSTALL}")
    each = board("icebreaker")
    found = build(Echo, clocked_board(each), name="echo", cache=tmp_path)
    assert clocked_board(each).pll is None
    assert found.report.met
    assert found.report.fmax_mhz.keys() == {"sync"}
    assert 100_000 < len(found.bitstream) < 110_000
    again = build(Echo, clocked_board(each), name="echo", cache=tmp_path)
    assert again.bitstream == found.bitstream
