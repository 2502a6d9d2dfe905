"""The components of the accelerator, by the paths of their modules."""

import re


__all__ = (
    "COMPONENTS",
    "component",
    "module_component",
)


# What is in none of the modules counts for the module that holds it.
COMPONENTS = {
    "multiplier array": ("calc.array",),
    "vector unit": ("calc.vector",),
    "requantizer": ("calc.requantizer",),
    "address generator": ("calc.sequencer",),
    "accumulator memory": ("calc.acc",),
    "weight and parameter memory": ("calc.weight", "calc.param"),
    "CALC, the rest": ("calc",),
    "feature memory": ("feature",),
    "weight unpacker": ("load.writer.unpacker",),
    "kernel taps": ("load.writer.unroller",),
    "LOAD": ("load",),
    "SAVE": ("save",),
    "instruction fetch": ("fetcher",),
    "instruction queues, tokens": (
        "load_queue", "load_gate", "calc_queue", "calc_gate", "save_queue", "save_gate", "tokens"),
    "AXI4 ports": ("ports", "arbiter"),
    "registers": ("control",),
    "counters": ("counters",),
    "between them": ("",),
}
"""For each component, the paths of its modules below the accelerator."""

_PREFIXES = {prefix: name for name, group in COMPONENTS.items() for prefix in group}


def module_component(path: str) -> str:
    """Return the component that the module with this path below the accelerator belongs to.

    Examples
    --------
    >>> module_component("calc.array.row$118"), module_component("calc.nowhere")
    ('multiplier array', 'CALC, the rest')
    """
    path = re.sub(r"\$\d+(?=\.|$)", "", path)
    while path and path not in _PREFIXES:
        path = path.rpartition(".")[0]
    return _PREFIXES[path]


def component(path: str, accelerator: str = "design.accelerator") -> str:
    """Return the component of a cell by its path below the top of a board.

    Parameters
    ----------
    path : str
        Path of the cell.
    accelerator : str
        Path of the accelerator. Outside it, a component is a module: that of the board's top, or
        of the design on it.

    Examples
    --------
    >>> component("design.accelerator.calc.vector.sum_LUT4_Z")
    'vector unit'
    >>> component("design.link.uart.bits_LUT4_Z"), component("clock_reset.left_TRELLIS_FF_Q")
    ('link', 'clock_reset')
    """
    if path.startswith(f"{accelerator}."):
        return module_component(path.removeprefix(f"{accelerator}."))
    parts = path.removeprefix("design.").split(".")
    return parts[0] if len(parts) > 1 else "top"
