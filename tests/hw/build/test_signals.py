"""A build that is ended from outside: nothing runs on, nothing half-written stays."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hw.build.signals import ending_in_order


BUILD = """
import sys
from pathlib import Path
from hw.build.boards import board
from hw.build.clock import clocked_board
from hw.build.run import build
from tests.hw.build.echo import Echo
build(Echo, clocked_board(board("colorlight-i5")), name="echo", seeds=(1, 2), jobs=2,
      cache=Path(sys.argv[1]))
"""
# Each starts another process, as wrappers of native tools do, and then does not end.
HANGS = """
sleep 600 &
touch $TMPDIR/left
echo half > top.config
echo $$ $! $TMPDIR > {pids}.new.$$
mv {pids}.new.$$ {pids}/$$
wait
"""
YOSYS = """
[ "$1" = -V ] && echo "Yosys 1.0 (git sha1 abc)" && exit
"""
SYNTHESIZES = """
echo '{"modules": {"top": {"num_cells_by_type": {}}}}' > stat.json
echo '{"modules": {}}' > top.json
"""
NEXTPNR = """
[ "$1" = -V ] && echo "(Version nextpnr-1.0)" && exit
[ "$1" = --help ] && exit
"""


def _runs(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def _wait(condition, what):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.02)


@pytest.mark.parametrize(("yosys", "count", "number", "code"), [
    (HANGS, 1, signal.SIGTERM, 128 + signal.SIGTERM),
    (SYNTHESIZES, 2, signal.SIGTERM, 128 + signal.SIGTERM),
    (SYNTHESIZES, 2, signal.SIGHUP, 128 + signal.SIGHUP),
    (SYNTHESIZES, 2, signal.SIGINT, -signal.SIGINT)],  # Python ends so on KeyboardInterrupt
    ids=["synthesis", "placements", "hangup", "interrupt"])
def test_ends_with_all_tools(yosys, count, number, code, tmp_path):
    pids, tools, cache = tmp_path / "pids", tmp_path / "bin", tmp_path / "cache"
    pids.mkdir()
    tools.mkdir()
    hangs = HANGS.format(pids=pids)
    for name, text in (("yosys", YOSYS + (hangs if yosys == HANGS else yosys)),
                       ("nextpnr-ecp5", NEXTPNR + hangs), ("ecppack", "")):
        (tools / name).write_text(f"#!/bin/sh\n{text}")
        (tools / name).chmod(0o755)
    process = subprocess.Popen(
        [sys.executable, "-c", BUILD, cache], cwd=Path(__file__).parents[3],
        stderr=subprocess.PIPE, text=True, env={
            **os.environ, "PATH": f"{tools}:{os.environ['PATH']}"})
    try:
        _wait(lambda: len(list(pids.iterdir())) == count or process.poll() is not None,
              "the tools do not start")
        assert process.poll() is None, process.stderr.read()
        process.send_signal(number)
        assert process.wait(60) == code, process.stderr.read()
    finally:
        process.kill()
        process.stderr.close()
        process.wait()
    noted = [path.read_text().split() for path in pids.iterdir()]
    started = [int(pid) for tool, child, _ in noted for pid in (tool, child)]
    _wait(lambda: not any(map(_runs, started)), "a tool runs on")
    assert not any(Path(temporary).exists() for *_, temporary in noted)
    left = [path.name.partition("-")[0] for path in cache.iterdir() if path.name != ".lock"]
    assert left == ([] if yosys == HANGS else ["netlist"])


def test_signals_that_are_handled_stay():
    handler = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ending_in_order():
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) != signal.SIG_DFL
            os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, handler)


def test_a_second_signal_does_not_disturb():
    ended = []

    @ending_in_order()
    def work():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            ended.append(True)

    with pytest.raises(SystemExit, match=r"^143$"):
        work()
    assert ended == [True]
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
