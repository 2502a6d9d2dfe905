"""Buses of cells that have a port for each bit."""


__all__ = (
    "input_pins",
    "output_pins",
)


def input_pins(name, value):
    """Return arguments of an ``Instance`` for the inputs ``name0`` and so on."""
    return {f"i_{name}{bit}": value[bit] for bit in range(len(value))}


def output_pins(name, value):
    """Return arguments of an ``Instance`` for the outputs ``name0`` and so on."""
    return {f"o_{name}{bit}": value[bit] for bit in range(len(value))}
