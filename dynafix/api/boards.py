"""A compiled network on a board, over a serial line."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compiler.memory_image import place
from compiler.program import Program
from quantizer.execute import probabilities, quantize_input, to_outputs

from ..data import Images, load_pictures
from ..errors import UsageError
from ..steps import Steps
from ..text import grouped
from .compilation import open_program
from .quantized import Quantized, open_quantized
from .tops import EXTERNAL, check_top


__all__ = (
    "SIMULATIONS",
    "serial",
)


_DIVISOR = 4
_CLOCK = 12_000_000
_EXTERNAL_BOARD = "ulx3s"


def serial(
    folder: str | Path | Quantized, images: Sequence[str | int] = (), *, port: str,
    baud: int | None = None, load: bool = False, data: str | Path | None = None,
    steps: Steps | None = None,
) -> dict[str, Any]:
    """Run the program of a folder on a board.

    Parameters
    ----------
    folder : path or Quantized
        Output folder that ``compile`` wrote.
    images : sequence of str or int
        Picture files, and numbers of evaluation images. Without any, the program is loaded only.
    port : str
        Device of the serial port, a URL of pyserial, or one of :data:`SIMULATIONS` for a design
        in Verilator.
    baud : int, optional
        Bits in a second; those that boards are built with by default.
    load : bool
        Whether to send program and weights even if the board holds them.
    data : path, optional
        The images, where they are no longer where ``quantize`` found them.
    steps : Steps, optional
        Is told the progress.

    Returns
    -------
    dict
        ``board``: what it is; ``loaded``: whether the image was sent; ``images``: for each
        ``image``, ``class`` and its ``name``, ``confidence`` (of the network's Softmax, or one of
        its outputs), ``label`` where it is known, ``output`` (as the float network returns it),
        ``cycles`` and ``seconds``. Without a class where the output is no vector.

    Raises
    ------
    ValueError
        If an argument or a file cannot be used, or the board cannot be reached or refuses.
    """
    steps = steps or Steps()
    quantized = open_quantized(folder, data=data, steps=steps)
    program = open_program(quantized)
    inputs, labels = _inputs(quantized, images)
    codes = quantize_input(quantized.model, inputs) if len(inputs) else ()
    with _board(port, baud, program, steps) as board:
        info = board.info()
        steps.line("board", f"{port}, {program.config.name}, {grouped(info.memory)} bytes of memory"
                            + (f", {info.clock / 1e6:g} MHz" if info.clock else ""))
        begin = time.perf_counter()
        loaded = board.load(program, force=load, progress=lambda done, total: steps.progress(
            "load", done, total, "bytes"))
        seconds = time.perf_counter() - begin
        if not loaded:
            steps.line("load", f"the board holds {program.name} already")
        found = []
        for name, label, each in zip(images, labels, codes):
            run = board.run(each)
            found.append({
                "image": str(name), "label": label, "cycles": run.cycles, "seconds": run.seconds,
                **_prediction(quantized, run.output)})
        return {
            "port": port, "config": program.config.name, "memory_bytes": info.memory,
            "clock_hz": info.clock, "loaded": loaded, "load_seconds": seconds,
            "repeated_requests": board.repeated, "images": found}


def _board(port: str, baud: int | None, program: Program, steps: Steps) -> Any:
    from ..serial import DEFAULT_BAUD, Board

    if port not in SIMULATIONS:
        return Board(port, baud=baud or DEFAULT_BAUD)
    with steps.busy("verilate", program.config.name):
        simulated = SIMULATIONS[port](program)
    return Board(simulated, now=simulated.seconds)


def _standalone(program: Program) -> Any:
    """Return a port behind which the stand-alone design is."""
    from sim.serial import SimulatedPort, build_standalone

    build = build_standalone(
        program.config, size=place(program).size, divisor=_DIVISOR, clock=_CLOCK)
    return SimulatedPort(build, divisor=_DIVISOR, clock=_CLOCK)


def _external(program: Program) -> Any:
    """Return a port behind which the design with the SDRAM of a board is."""
    from hw.build.boards import board
    from hw.build.sdram import PAD_REGISTERS
    from sim.sdram import external_port

    chosen = board(_EXTERNAL_BOARD)
    clock = round(chosen.usual * 1_000_000)
    check_top(EXTERNAL, program, chosen, clock)
    return external_port(program.config, chosen.memory, divisor=_DIVISOR, clock=clock,
                         read_delay=PAD_REGISTERS)


SIMULATIONS: dict[str, Callable[[Program], Any]] = {
    "simulation": _standalone, "simulation-external": _external}
"""Names of the ports behind which a design is simulated, four cycles a bit: the stand-alone one at
12 MHz, and the one with the SDRAM of ULX3S at 50 MHz."""


def _inputs(
    quantized: Quantized, images: Sequence[str | int]
) -> tuple[NDArray[np.float32], list[int | None]]:
    """Return inputs, (n, *input_dims), and labels where they are known."""
    dims = quantized.model.graph.input_dims
    found, labels = [np.zeros((0, *dims), np.float32)], []
    for image in images:
        text = str(image)
        if text.isdigit():
            evaluation = quantized.data.evaluation
            _check_number(int(text), evaluation)
            found.append(quantized.inputs(evaluation, [int(text)]))
            labels.append(
                None if evaluation.labels is None else int(evaluation.labels[int(text)]))
        else:
            picture = load_pictures([text])
            found.append(quantized.rule.apply(picture.read([0]), dims, text))
            labels.append(None)
    return np.concatenate(found), labels


def _check_number(number: int, images: Images) -> None:
    if number >= len(images):
        raise UsageError(f"IMAGE must be a picture, or a number in 0..{len(images) - 1} of an "
                         f"evaluation image, not {number}")


def _prediction(quantized: Quantized, codes: NDArray[np.int64]) -> dict[str, Any]:
    """Return what the network says about one image."""
    output = to_outputs(quantized.model, codes[None])[0]
    result: dict[str, Any] = {
        "output": output.tolist(), "class": None, "name": None, "confidence": None}
    if output.size == max(output.shape) > 1:
        index = int(output.argmax())
        names = quantized.provenance["class_names"]
        result |= {
            "class": index,
            "name": names[index] if names and index < len(names) else None,
            "confidence": float(probabilities(quantized.model, codes[None])[0, index])}
    return result
