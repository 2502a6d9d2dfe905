"""What a config leaves out: instructions that its accelerator cannot run, with the layer's name."""

import re
from collections.abc import Sequence

from arch.config import AcceleratorConfig
from arch.isa import Field, Opcode, fields_of

from .describe import Layer
from .errors import CompileError
from .ir import Instruction


__all__ = ("check_limits", "check_size")


_LOOPS = re.compile(r"(count|y|x)_\d|y|x|height|width|count_height|count_width")


def _loop_fields(opcode: Opcode) -> tuple[Field, ...]:
    return tuple(field for field in fields_of(opcode) if _LOOPS.fullmatch(field.name))


def _check_loops(instruction: Instruction, name: str, config: AcceleratorConfig) -> None:
    """Refuse counts, sizes and coordinates of more bits than are heeded."""
    for field in _loop_fields(instruction.opcode):
        value = instruction.values.get(field.name, 0)
        bits = max(value, ~value).bit_length() + field.signed
        if bits > config.loop_bits:
            raise CompileError(
                f"Layer '{name}': its maps and loops need {bits} bits ({field.name} is {value}), "
                f"config '{config.name}' has {config.loop_bits} (loop_bits); use a loop_bits of at "
                f"least {bits}")


def check_limits(
    instructions: Sequence[Instruction], layers: Sequence[Layer], config: AcceleratorConfig
) -> None:
    """Refuse instructions that need what the config leaves out.

    Parameters
    ----------
    instructions : sequence of Instruction
        Instructions; fields left out are zero.
    layers : sequence of Layer
        Layers, by number.
    config : AcceleratorConfig
        Accelerator.

    Raises
    ------
    CompileError
        If one is a VECTOR without ``vector_unit``, or has a number of more than ``loop_bits``.
    """
    for instruction in instructions:
        layer = layers[instruction.layer]
        if instruction.opcode == Opcode.VECTOR and not config.vector_unit:
            raise CompileError(
                f"Layer '{layer.name}': {layer.operator} needs the vector unit, config "
                f"'{config.name}' has none (vector_unit); use a config with it")
        if instruction.opcode in (Opcode.CONV, Opcode.VECTOR) and config.loop_bits < 12:
            _check_loops(instruction, layer.name, config)


def check_size(name: str, size: int, config: AcceleratorConfig) -> None:
    """Refuse a network that takes more bytes of DRAM than can be addressed."""
    if size > 1 << config.address_bits:
        raise CompileError(
            f"Network '{name}' takes {size} bytes of DRAM, config '{config.name}' addresses "
            f"{1 << config.address_bits} (address_bits); use an address_bits of at least "
            f"{(size - 1).bit_length()}")
