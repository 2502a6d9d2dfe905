"""From a quantized network to a program, and from a config to Verilog."""

import difflib
import time
from pathlib import Path

from arch.boards import BOARD_PRESETS, LINK_CYCLES
from arch.config import AcceleratorConfig
from compiler.program import Program

from ..errors import UsageError
from ..files import discard_results, existing_folder, output_folder, write_text
from ..options import Dram, load_config
from ..steps import Steps
from ..text import grouped
from .quantized import Quantized, open_quantized


__all__ = (
    "compile",
    "open_program",
    "verilog",
)


DEFAULT_CONFIG = "ecp5_85f"


def compile(
    folder: str | Path | Quantized, *, config: str | Path | AcceleratorConfig = DEFAULT_CONFIG,
    dram: Dram | None = None, fuse: bool = True, input_cycles: float | None = None,
    steps: Steps | None = None,
) -> Program:
    """Make the program of a quantized network.

    Parameters
    ----------
    folder : path or Quantized
        Output folder that ``quantize`` wrote; ``program/`` is written.
    config : str, path or AcceleratorConfig
        Preset, JSON file, or the config itself.
    dram : Dram, optional
        Timing that the schedule and the prediction assume.
    fuse : bool
        Whether convolutions pool their results where that is faster; without it every tensor of
        the network exists and is compared.
    input_cycles : float, optional
        Cycles that a byte of the input takes on its way into memory; the input is laid out for the
        time of that and of the run together. By default 0, or :data:`arch.boards.LINK_CYCLES` for
        the accelerator of a board, whose images come over a serial line.
    steps : Steps, optional
        Is told the progress.

    Returns
    -------
    Program
        Instructions, weights and prediction.

    Raises
    ------
    ValueError
        If the config cannot run the network, or the folder cannot be used.
    """
    from compiler import DramTiming, compile_model, save

    config, dram, steps = load_config(config), dram or Dram(), steps or Steps()
    if input_cycles is None:
        board = any(config.hash == each.hash for each in BOARD_PRESETS.values())
        input_cycles = LINK_CYCLES if board else 0
    if not 0 <= input_cycles < float("inf"):
        raise UsageError(f"--input-cycles must be a number of at least 0, not {input_cycles:g}")
    quantized = open_quantized(folder, steps=steps)
    output_folder(quantized.folder)
    timing = DramTiming(latency=dram.latency, bytes_per_cycle=dram.bandwidth(config))
    with steps.busy("compile", config.name):
        program = compile_model(
            quantized.model, config, dram=timing, fuse=fuse, input_cycles=input_cycles)
        discard_results(quantized.folder)
        save(program, quantized.folder / "program")
    steps.line("compile", _describe(program))
    return program


def _describe(program: Program) -> str:
    maps = "all maps stay on chip" if not program.scratch_size else (
        f"maps spill to {grouped(program.scratch_size)} bytes of DRAM")
    stops = len(program.host_steps)
    host = f"; stops {'once' if stops == 1 else f'{stops} times'} for the host" if stops else ""
    return (f"{grouped(len(program.program_image))} instruction bytes, "
            f"{grouped(len(program.weight_image))} weight bytes, "
            f"{grouped(program.input_size)} bytes an input; {maps}; no accumulator can "
            f"overflow (worst {program.worst_acc_bits} of {program.config.acc_bits} bits){host}")


def open_program(quantized: Quantized, *, suits: str | None = None) -> Program:
    """Open what ``compile`` made; ``UsageError`` if it is missing or of another network.

    ``suits`` is the preset to suggest where there is none.
    """
    from compiler import load
    from compiler.compile import model_hash

    folder = quantized.folder
    if not (folder / "program").is_dir():
        config = f" --config {suits}" if suits else ""
        raise UsageError(
            f"{folder}: holds no program. Make it with: dynafix compile {folder}{config}")
    program = load(folder / "program")
    if program.model_hash != model_hash(quantized.model):
        raise UsageError(f"{folder}: the program was made for another quantized network. "
                         f"Compile again: dynafix compile {folder} --config {program.config.name}")
    return program


def verilog(
    folder: str | Path, *, output: str | Path | None = None,
    config: str | Path | AcceleratorConfig | None = None, family: str = "generic",
    steps: Steps | None = None,
) -> Path:
    """Write the Verilog of an accelerator.

    Parameters
    ----------
    folder : path
        Output folder of a compiled network.
    output : path, optional
        Folder in which ``verilog/accelerator.v`` is written; ``folder`` by default.
    config : str, path or AcceleratorConfig, optional
        Preset, JSON file, or the config itself; that of the folder's program by default.
    family : str
        Device family, of :data:`hw.primitives.FAMILIES`, whose multipliers and memories it is made
        of; ``"generic"`` leaves finding them to synthesis, and is what simulations run.
    steps : Steps, optional
        Is told the progress.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ValueError
        If there is neither a config nor a program, no such family, or the folder cannot be
        written.
    """
    from hw.primitives import FAMILIES
    from sim.build import accelerator_verilog

    if family not in FAMILIES:
        near = difflib.get_close_matches(family, FAMILIES, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise UsageError(f"--family must be one of {', '.join(FAMILIES)}, not {family!r}{hint}")
    steps = steps or Steps()
    chosen = _config_of(folder) if config is None else load_config(config)
    path = output_folder(folder if output is None else output) / "verilog" / "accelerator.v"
    begin = time.monotonic()
    with steps.busy("verilog", chosen.name):
        text = accelerator_verilog(chosen, family)
        write_text(path, text)
    seconds, lines = time.monotonic() - begin, len(text.splitlines())
    cells = "" if family == "generic" else f" for {family}"
    steps.line("verilog", f"{chosen.name}{cells}, {grouped(lines)} lines, {seconds:.1f} s")
    return path


def _config_of(folder: str | Path) -> AcceleratorConfig:
    from compiler import load

    program = existing_folder(folder) / "program"
    if not program.is_dir():
        raise UsageError(f"{folder}: holds no program, so its config is unknown. Give --config, "
                         f"or compile first: dynafix compile {folder}")
    return load(program).config
