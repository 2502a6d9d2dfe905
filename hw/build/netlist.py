"""What is done to a netlist of Yosys before it is placed."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .devices import ECP5, Device
from .errors import BuildError
from .fanout import split_fanout
from .floorplan import bels, blocks
from .memory_places import memory_bels


__all__ = (
    "PREPARATION",
    "prepare_netlist",
    "set_globally",
)


PREPARATION = 9
"""Raised with every change of what is done here: netlists that are kept have been prepared."""

# Inputs that one register or LUT of a planned design drives, and one register behind another.
_MOST_INPUTS = 128
_MOST_RELAYED = 16


def set_globally(cells: Mapping[str, Any]) -> None:
    """Have the chip's own global reset set the registers of each clock that can be stopped.

    Its wire is none of those that the router has. Registers of other clocks do not heed it, as
    those that end it must not; Yosys, where a netlist has a global reset, has all heed it.

    Parameters
    ----------
    cells : mapping
        Cells of a netlist of ECP5. Stopped clocks come from ``DCCA``.
    """
    clocks = {cell["connections"]["CLKO"][0] for cell in cells.values() if cell["type"] == "DCCA"}
    for cell in cells.values():
        if cell["type"] == "TRELLIS_FF":
            is_set = cell["connections"]["CLK"][0] in clocks
            cell["parameters"]["GSR"] = "ENABLED" if is_set else "DISABLED"


def prepare_netlist(file: Path, device: Device, lanes: int) -> None:
    """Say in a netlist what the placer is to know, and copy cells that drive too many others.

    Parameters
    ----------
    file : Path
        The netlist, as Yosys writes it in JSON. It is written again; other names of it are not.
    device : Device
        Chip.
    lanes : int
        Output lanes of the accelerator, for :func:`hw.build.floorplan.bels`; 0 without one.

    Raises
    ------
    BuildError
        If the file is something else.
    """
    if device.technology is not ECP5:
        return
    try:
        netlist = json.loads(file.read_text("utf-8"))
    except ValueError as error:
        raise BuildError(f"Yosys wrote no netlist that can be read: {error}") from error
    for module in netlist["modules"].values():
        cells = module["cells"]
        set_globally(cells)
        grid = device.grid
        places = bels(cells, lanes, grid) if lanes and grid else {}
        if places:
            _put(cells, places)
            _put(cells, memory_bels(cells, grid.memories))
            split_fanout(module, _MOST_INPUTS, blocks(places, grid.multipliers),
                         relayed=_MOST_RELAYED)
    file.unlink()
    file.write_text(json.dumps(netlist), "utf-8")


def _put(cells: Mapping[str, Any], places: Mapping[str, str]) -> None:
    for name, bel in places.items():
        cells[name]["attributes"]["BEL"] = bel
