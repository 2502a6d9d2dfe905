"""What nextpnr writes, read."""

import json

import pytest

from hw.build.errors import BuildError
from hw.build.report import parse_report, signal_name


def _step(kind, delay, source, target, net=None):
    step = {"type": kind, "delay": delay, "from": {"cell": source, "loc": [1, 2], "port": "Q"},
            "to": {"cell": target, "loc": [1, 2], "port": "D"}}
    return step if net is None else {**step, "net": net, "sources": []}


# From nextpnr-ecp5 0.11.1 for an accelerator on LFE5U-25F, shortened.
ACC = "design.accelerator.calc."
FROM = f"{ACC}requantizer.shift_TRELLIS_FF_Q_3"
VIA = f"{ACC}requantizer.shift_TRELLIS_FF_Q_3_Q_LUT4_C_Z_LUT4_Z"
TO = f"{ACC}vector.sum_TRELLIS_FF_Q_7"
CLOCK = "$glbnet$receive.clk"
REPORT = {
    "critical_paths": [
        {"from": f"posedge {CLOCK}", "to": f"posedge {CLOCK}", "path": [
            _step("clk-to-q", 0.5, FROM, FROM), _step("routing", 4.0, FROM, VIA, "n1"),
            _step("logic", 0.25, VIA, VIA), _step("routing", 2.0, VIA, TO, "n2"),
            _step("setup", 0.25, TO, TO)]},
        {"from": "<async>", "to": f"posedge {CLOCK}", "path": [
            _step("source", 0, "pin_uart_0__rx.buf.buf.buf0", "pin_uart_0__rx.buf.buf.buf0"),
            _step("routing", 99.0, "pin_uart_0__rx.buf.buf.buf0", "receive.stage0_TRELLIS_FF_Q")]},
    ],
    "fmax": {CLOCK: {"achieved": 142.857, "constraint": 46.875}},
    "utilization": {"TRELLIS_COMB": {"available": 24288, "used": 52},
                    "DP16KD": {"available": 56, "used": 3}},
}


def test_report():
    report = parse_report(json.dumps(REPORT))
    assert report.fmax_mhz == {"sync": 142.857}
    assert report.asked_mhz == {"sync": 46.875}
    assert report.used == {"TRELLIS_COMB": 52, "DP16KD": 3}
    assert report.met
    assert report.slack == pytest.approx(142.857 / 46.875)


def test_critical_path():
    path = parse_report(json.dumps(REPORT)).path
    assert (path.clock, path.delay_ns, path.levels) == ("sync", 7.0, 1)
    assert path.routing_share == pytest.approx(6 / 7)
    assert path.components == ("requantizer", "vector unit")
    assert path.text == ("requantizer → vector unit: calc.requantizer.shift → "
                         "calc.vector.sum (1 level, 7.0 ns, 86 % routing)")
    assert path.to_json()["text"] == path.text


def test_several_clocks():
    """They keep their names, and the one that is met least has the critical path."""
    slow = {"from": "posedge slow", "to": "posedge slow", "path": [
        _step("clk-to-q", 1.0, "clock_reset.left_SB_DFF_Q", "clock_reset.left_SB_DFF_Q"),
        _step("setup", 1.0, "clock_reset.left_SB_DFF_Q", "clock_reset.left_SB_DFF_Q")]}
    text = json.dumps({
        **REPORT, "critical_paths": [*REPORT["critical_paths"], slow],
        "fmax": {**REPORT["fmax"], "slow": {"achieved": 10.0, "constraint": 12.0}}})
    report = parse_report(text)
    assert report.fmax_mhz == {"sync": 142.857, "slow": 10.0}
    assert not report.met
    assert report.path.clock == "slow"
    assert report.path.text == (
        "clock_reset: clock_reset.left → clock_reset.left (0 levels, 2.0 ns, 0 % routing)")


@pytest.mark.parametrize(("nets", "names"), [
    (["$glbnet$a.save.clk", "$glbnet$clock_reset.memory_clk"], ["sync", "memory"]),
    (["a.clk", "b.clk", "c_clk"], ["a.clk", "b.clk", "c_clk"]),  # no clock hides another
    (["anything"], ["sync"])])
def test_clocks_by_their_domains(nets, names):
    report = parse_report(json.dumps({
        **REPORT, "critical_paths": [],
        "fmax": {net: {"achieved": 9, "constraint": 8} for net in nets}}))
    assert list(report.fmax_mhz) == list(report.asked_mhz) == names


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"fmax": {"a": 3}}'])
def test_no_report(text):
    with pytest.raises(BuildError, match="^nextpnr wrote no report that can be read"):
        parse_report(text)


def test_no_register_drives_another():
    assert parse_report(json.dumps({**REPORT, "critical_paths": []})).path is None


@pytest.mark.parametrize(("cell", "signal"), [
    ("clock_reset.left_SB_DFFESR_Q_2_D_SB_LUT4_O_I3_SB_CARRY_CI_CO_SB_LUT4_I3_LC",
     "clock_reset.left"),
    ("design.count_DFFR_Q", "design.count"), ("design.memory.array.0.0", "design.memory.array.0.0"),
    ("receive.stage0_TRELLIS_FF_Q", "receive.stage0"), ("$PACKER_VCC", "$PACKER_VCC"),
    ("a.b_LUT4_Z_1_B_CCU2C_S0", "a.b")])
def test_signal_names(cell, signal):
    assert signal_name(cell) == signal
