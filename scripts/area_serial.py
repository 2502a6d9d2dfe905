"""Print what the serial link and the memory around an accelerator take on iCE40, by component.

Synthesizes each alone with Yosys for iCE40. Nothing is placed or routed. Needs ``yosys`` on the
path, or the extra ``[synth]``. A memory stands there in its logic alone: it has few rows, in block
RAM.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from amaranth.back import verilog

from hw.build.errors import BuildError
from hw.build.synthesis import parse_stat
from hw.build.tools import find_tools
from hw.link import AXI4Mux, HostLink, UARTReceiver, UARTTransmitter
from hw.tops import BlockMemory


__all__ = (
    "main",
    "parts",
)


_DIVISOR = 12  # 1 000 000 baud at 12 MHz
_TIMEOUT = 1 << 20
_SCRIPT = "read_verilog top.v; synth_ice40 -top top; tee -o stat.json stat -json"
_SIZE = 1 << 17  # all SPRAM of a UP5K


def parts(width: int) -> dict[str, object]:
    """Return the components for a bus of ``width`` bits."""
    return {
        "receiver": UARTReceiver(divisor=_DIVISOR),
        "transmitter": UARTTransmitter(divisor=_DIVISOR),
        "HostLink, with both": HostLink(
            data_width=width, divisor=_DIVISOR, timeout=_TIMEOUT, memory_size=_SIZE,
            clock=12_000_000),
        "AXI4Mux": AXI4Mux(data_width=width, id_width=1),
        "BlockMemory": BlockMemory(data_width=width, id_width=2, size=512 * width // 8),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Synthesize and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=32, metavar="BITS", help="bits of the bus")
    options = parser.parse_args(arguments)
    try:
        yosys = find_tools(["yosys"])["yosys"]
        print(f"{'':22}{'SB_LUT4':>9}{'SB_CARRY':>10}{'SB_DFF*':>9}")
        for name, component in parts(options.width).items():
            with tempfile.TemporaryDirectory() as folder:
                text = verilog.convert(
                    component, name="top", emit_src=False, strip_internal_attrs=True)
                (Path(folder) / "top.v").write_text(text)
                run = subprocess.run(
                    [*yosys, "-q", "-p", _SCRIPT], cwd=folder, capture_output=True, text=True,
                    check=False)
                if run.returncode:
                    raise BuildError(f"Yosys failed on {name}: {run.stderr[-500:]}")
                cells = parse_stat((Path(folder) / "stat.json").read_text())["top"]
            registers = sum(count for cell, count in cells.items() if cell.startswith("SB_DFF"))
            print(f"{name:22}{cells['SB_LUT4']:9,}{cells['SB_CARRY']:10,}{registers:9,}",
                  flush=True)
    except BuildError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
