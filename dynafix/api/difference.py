"""Where engines that must agree first differ."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from compiler.program import Program
from quantizer.execute import execute, quantize_input

from ..errors import UsageError
from ..options import Dram
from ..steps import Steps
from .compilation import open_program
from .quantized import Quantized, open_quantized


__all__ = ("diff",)


SCHEMA = 1
OTHERS = ("onnxruntime", "instructions", "RTL")


def diff(
    folder: str | Path | Quantized, *, image: int = 0, verilog: str | Path | None = None,
    data: str | Path | None = None, steps: Steps | None = None,
) -> dict[str, Any]:
    """Find the first layer, tile and position where an engine differs from numpy.

    The engines are onnxruntime, the program's instructions executed one after the other, and the
    Verilog in Verilator. If instructions differ too, program or compiler are at fault; if only the
    RTL does, the hardware is.

    Parameters
    ----------
    folder : path or Quantized
        Output folder that ``compile`` wrote.
    image : int
        Evaluation image to run.
    verilog : path, optional
        Verilog of the accelerator; that of the program's config by default.
    data : path, optional
        The images, where they are no longer where ``quantize`` found them.
    steps : Steps, optional
        Is told the progress.

    Returns
    -------
    dict
        ``image``, ``equal``, and under ``differences`` for each engine ``None`` or the first
        difference.

    Raises
    ------
    ValueError
        If an argument or a file cannot be used, or the simulation fails.
    """
    from quantizer.export import ort_tensors
    from sim.difference import first_difference

    steps = steps or Steps()
    quantized = open_quantized(folder, data=data, steps=steps)
    program, model = open_program(quantized), quantized.model
    count = len(quantized.data.evaluation)
    if not 0 <= image < count:
        raise UsageError(f"--image must be in 0..{count - 1}, not {image}")
    text = _text(verilog)
    inputs = quantized.inputs(quantized.data.evaluation, [image])
    codes = quantize_input(model, inputs)
    expected = _first(execute(model, codes))
    data_in = program.input_layout.pack(codes[0])
    with steps.busy("diff", "onnxruntime and instructions"):
        found = {
            "onnxruntime": first_difference(
                program, model, expected, _first(ort_tensors(model, inputs))),
            "instructions": _compared(
                program, model, expected, *_executed(program, data_in))}
    found["RTL"] = _compared(
        program, model, expected, *_simulated(program, data_in, text, steps))
    return {
        "schema": SCHEMA, "image": image, "equal": not any(found.values()),
        "differences": {name: found[name] and found[name].to_json() for name in OTHERS},
        "texts": {name: str(found[name]) if found[name] else None for name in OTHERS},
    }


def _text(path: str | Path | None) -> str | None:
    if path is None:
        return None
    try:
        return Path(path).read_text()
    except (OSError, ValueError) as error:
        raise UsageError(f"--verilog {path}: not readable as Verilog. Make one with: dynafix "
                         f"verilog --config PRESET --output FOLDER") from error


def _first(tensors: Mapping[str, NDArray]) -> dict[str, NDArray]:
    return {name: values[0] for name, values in tensors.items()}


def _executed(program: Program, data: bytes) -> tuple[bytes, NDArray]:
    from sim.functional import run_functional

    return run_functional(program, data)


def _simulated(program: Program, data: bytes, verilog: str | None,
               steps: Steps) -> tuple[bytes, NDArray]:
    from sim.result import DramModel
    from sim.simulate import simulate

    dram = Dram(program.dram.latency, program.dram.bytes_per_cycle)
    with steps.busy("diff", "RTL"):
        result = simulate(
            program, [data], verilog=verilog,
            dram=DramModel(dram.latency, dram.bandwidth(program.config)))
    return result.images[0].output, result.images[0].rows


def _compared(program: Program, model: Any, expected: Mapping[str, NDArray], output: bytes,
              rows: NDArray) -> Any:
    """Compare all rows written, then the output region."""
    from sim.difference import first_difference
    from sim.errors import SimulationError

    count = sum(record.row_count for record in program.writes)
    if len(rows) != count:
        raise SimulationError(
            f"The accelerator wrote {len(rows)} rows, but the program computes {count}")
    found = first_difference(program, model, expected, program.tensors_from_rows(rows))
    return found or first_difference(
        program, model, expected, {program.output_name: program.output_layout.unpack(output)},
        output_only=True)
