"""Programs as text."""

from collections.abc import Mapping, Sequence

from arch.config import AcceleratorConfig
from arch.isa import (
    LEVELS,
    Engine,
    Memory,
    Opcode,
    Products,
    Region,
    VectorOp,
    group_steps,
    is_pooled,
)

from .describe import Layer
from .host import HostStep, Segment
from .ir import Instruction


__all__ = ("disassemble",)


_MEMORY = {Memory.FEATURE: "feature", Memory.WEIGHT: "weight", Memory.PARAM: "param",
           Memory.TABLE: "table"}


def _engines(mask: int) -> str:
    return ",".join(engine.name for engine in Engine if mask >> engine & 1)


def _sync(values: Mapping[str, int]) -> str:
    parts = []
    if values.get("wait"):
        parts.append(f"wait {_engines(values['wait'])}")
    if values.get("fence"):
        parts.append("fence")
    if values.get("post"):
        parts.append(f"post {_engines(values['post'])}")
    return "; ".join(parts)


def _transfer(opcode: Opcode, values: Mapping[str, int]) -> str:
    lines = values["line_count"]
    rows = values["row_count"] + (lines - 1) * values["row_stride"]
    chip = f"{_MEMORY[Memory(values['memory'])]}[{values['row']}..{values['row'] + rows - 1}]"
    dram = f"{Region(values['region']).name.lower()}+{values['address']:#x}"
    cut = (
        f" {lines} lines of {values['row_count']} rows, every {values['line_stride']} bytes"
        if lines > 1 else "")
    if opcode == Opcode.SAVE:
        return f"{dram} <- {chip}{cut}"
    narrow = f", codes of {values['weight_bits']} bits" if values.get("weight_bits") else ""
    if values.get("pairs"):
        narrow = f", pairs of codes of {(values['weight_bits'] or 8) // 2} bits"
    if values.get("columns"):
        narrow += f", columns 0..{values['columns'] - 1}"
    if values.get("kernel_lines"):
        narrow += (
            f", taps of {values['map_lines']} lines of {values['map_beats']} beats: "
            f"{values['positions']} x {values['kernel_lines']} segments of {values['segment']} "
            f"bytes, every {values['advance']} from -{values['before']}")
    return f"{chip} <- {dram}{cut}{narrow}"


def _loops(values: Mapping[str, int]) -> str:
    return " ".join(
        f"{values[f'count_{level}']}({values[f'word_{level}']:+d},{values[f'y_{level}']:+d},"
        f"{values[f'x_{level}']:+d})"
        for level in reversed(range(LEVELS)) if values[f"count_{level}"] > 1) or "1"


def _calc(opcode: Opcode, values: Mapping[str, int]) -> str:
    groups = values["count_2"] * values["count_3"] * values["count_4"]
    steps = group_steps(values)
    kind = (
        f"from word {values['word']} at ({values['y']},{values['x']}) of "
        f"{values['height']}x{values['width']} {'s' if values['signed'] else 'u'}, "
        f"loops {_loops(values)}, gap {values['gap']}, clamp {values['lo']}.."
        f"{values.get('hi', 'upper')}")
    if opcode == Opcode.CONV:
        start = "bias" if values["init"] else "acc"
        stop = (
            f"feature[{values['row']}] step {values['row_step']}" if values["finish"] else "acc")
        if values.get("depthwise"):
            kind += f", depthwise from step {values['warm']} skipping {values['skip']}"
            kind += f" wrapping {values['wrap']}" if values["wrap"] else ""
        if values["finish"] and is_pooled(values):
            kernel, stride = values["pool_kernel"] + 1, values["pool_stride"] + 1
            kind += (
                f", maximum of {kernel}x{kernel}/{stride} from ({-values['pool_y']},"
                f"{-values['pool_x']}) {'first' if values['pool_first'] else 'going on'}, "
                f"lines[{values['pool_row']}]")
        if values.get("products") == Products.BLOCKS:
            kind += ", two blocks"
        if values.get("wide"):
            kind += ", wide"
        if values.get("products") == Products.SECOND:
            kind += ", of the second block"
        if values.get("products") == Products.TAPS:
            kind += f", two taps from step {values['warm']}"
        return (
            f"{stop} <- {start} + {groups} passes x {steps}: weight[{values['weight_row']}.."
            f"{values['weight_row'] + groups - 1}] param[{values['param_row']}] {kind}")
    name = VectorOp(values["op"]).name.lower()
    divide = "/count" if values.get("divide") else ""
    if values.get("hold"):
        kind += f", with word {values['word_b']} {'s' if values['signed_b'] else 'u'}"
    if values["op"] == VectorOp.TABLE:
        name += f"[{values['table']}]"
    return (
        f"feature[{values['row']}..{values['row'] + (groups - 1) * values['row_step']}] <- "
        f"{name}{divide} << {values['shift_a']},{values['shift_b']} >> {values['shift']} of "
        f"{groups} groups x {steps} {kind}")


def disassemble(
    instructions: Sequence[Instruction], layers: Sequence[Layer], config: AcceleratorConfig,
    steps: Sequence[Segment | HostStep],
) -> str:
    """Return a program as text: a line for each instruction, and for each step of the host.

    Parameters
    ----------
    instructions : sequence of Instruction
        Instructions without END.
    layers : sequence of Layer
        Layers, for their names.
    config : AcceleratorConfig
        Accelerator.
    steps : sequence of Segment or HostStep
        Parts of the program, and what the host does between them.
    """
    width = max((len(layer.name) for layer in layers), default=0)
    count = len(instructions) + sum(isinstance(step, Segment) for step in steps)
    lines = [
        f"; config {config.name} {config.hash:#018x}, {count} instructions",
        "; loops: count(words,lines,columns added when the loop advances), outermost first",
    ]
    for step in steps:
        if isinstance(step, HostStep):
            lines.append(f"{'':5s} {layers[step.layer].name:{width}s} HOST   {step.describe()}")
            continue
        if len(steps) > 1:
            lines.append(f"; program+{step.offset:#x}")
        for number in range(step.first, step.stop):
            lines.append(_line(number, instructions[number], layers, width))
        lines.append(f"{step.stop:5d} {'':{width}s} END")
    return "\n".join(lines) + "\n"


def _line(number: int, item: Instruction, layers: Sequence[Layer], width: int) -> str:
    """Return the line of an instruction."""
    transfer = item.opcode in (Opcode.LOAD, Opcode.SAVE)
    body = (_transfer if transfer else _calc)(item.opcode, item.values)
    remark = "; ".join(part for part in (_sync(item.values), item.note) if part)
    return (
        f"{number:5d} {layers[item.layer].name:{width}s} {item.opcode.name:6s} {body}"
        + (f"  ; {remark}" if remark else ""))
