"""The program on the Verilog, image by image, against numpy and onnxruntime."""

import shlex
import time
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compiler.program import Program
from quantizer.execute import execute, probabilities, quantize_input

from ..errors import UsageError, VerificationError
from ..files import discard_results, output_folder, sha256, write_json
from ..options import Dram
from ..steps import Steps
from ..text import grouped, rate
from .compilation import open_program
from .pictures import picture
from .quantized import Quantized, open_quantized


__all__ = (
    "SCHEMA",
    "check_images",
    "layer_cycles",
    "simulate",
    "timeline",
)


SCHEMA = 2
MOST_PICTURES = 24
USUAL_SPEED = 400_000  # simulated cycles in a second
BATCH_VALUES = 1 << 25
ENGINES_TEXT = "numpy = onnxruntime = RTL"
ENGINES = ("load", "calc", "save")


def check_images(images: int) -> None:
    """Refuse a number of images that is none."""
    if images < 1:
        raise UsageError(f"--images must be at least 1, not {images}")


def simulate(
    folder: str | Path | Quantized, *, program: Program | None = None, images: int = 10,
    image: int | None = None, layer: str | None = None, waves: bool = False,
    dram: Dram | None = None, data: str | Path | None = None, steps: Steps | None = None,
) -> dict[str, Any]:
    """Run the program of a folder on the Verilog, and compare every layer with numpy.

    Parameters
    ----------
    folder : path or Quantized
        Output folder that ``compile`` wrote; ``simulation/`` is written.
    program : Program, optional
        Its program, where it is at hand.
    images : int
        How many evaluation images to run, from the first.
    image : int, optional
        The only image to run; nothing but a waveform is written then.
    layer : str, optional
        Layer whose cycles the waveform shows; all by default.
    waves : bool
        Whether to write a waveform; needs ``image``.
    dram : Dram, optional
        Timing of the DRAM; that of the program by default.
    data : path, optional
        The images, where they are no longer where ``quantize`` found them.
    steps : Steps, optional
        Is told the progress.

    Returns
    -------
    dict
        Content of ``simulation/simulation.json``.

    Raises
    ------
    ValueError
        If an argument or a file cannot be used, or the simulation fails.
    VerificationError
        If the engines differ.
    """
    from sim.result import DramModel
    from sim.simulate import simulate as run

    steps = steps or Steps()
    quantized = open_quantized(folder, data=data, steps=steps)
    program = program or open_program(quantized)
    indices = _indices(quantized, images, image, steps)
    number = _layer(program, layer)
    path = _wave_path(quantized, image, layer, waves)
    dram = dram or Dram(program.dram.latency, program.dram.bytes_per_cycle)
    model = DramModel(dram.latency, dram.bandwidth(program.config))
    inputs = quantized.inputs(quantized.data.evaluation, indices)
    codes = quantize_input(quantized.model, inputs)
    output_folder(quantized.folder / "simulation")
    _verilate(program, steps)
    _announce(program, len(indices), steps)
    progress = _Progress(steps)
    result = run(program, [program.input_layout.pack(each) for each in codes], dram=model,
                 waves=path, layer=number, progress=progress)
    macs = sum(entry.macs for entry in program.layers) * len(indices)
    progress.finish(result, len(indices), macs)
    if path is not None:
        steps.line("waves", str(path))
    _compare(quantized, program, indices, inputs, codes, result.images, steps)
    hidden = program.fused
    if hidden and _compare_apart(quantized, program, indices, codes, model, steps):
        hidden = frozenset()
    record = _record(quantized, program, dram, indices, inputs, result, macs)
    record["not_compared"] = sorted(hidden)
    if image is None:
        discard_results(quantized.folder)
        write_json(quantized.folder / "simulation" / "simulation.json", record)
    return record


def _indices(quantized: Quantized, images: int, image: int | None,
             steps: Steps) -> list[int]:
    count = len(quantized.data.evaluation)
    if image is not None:
        if not 0 <= image < count:
            raise UsageError(f"--image must be in 0..{count - 1}, not {image}")
        return [image]
    check_images(images)
    if images > count:
        steps.line("images", f"{images} asked for, {count} evaluation images are there: all of "
                             f"them run")
    return list(range(min(images, count)))


def _layer(program: Program, name: str | None) -> int | None:
    if name is None:
        return None
    for layer in program.layers:
        if layer.name == name:
            pooled = (other.index for other in program.layers if other.fused == name)
            return next(pooled, layer.index)
    raise UsageError(f"--layer must be one of {', '.join(each.name for each in program.layers)}, "
                     f"not {name!r}")


def _wave_path(quantized: Quantized, image: int | None, layer: str | None,
               waves: bool) -> Path | None:
    if not waves:
        if layer is not None:
            raise UsageError("--layer needs --waves: it says what the waveform shows")
        return None
    if image is None:
        raise UsageError("--waves needs --image: waveforms are written of one image")
    safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in layer or "all")
    return quantized.folder / "simulation" / f"image{image}_{safe}.fst"


def _verilate(program: Program, steps: Steps) -> None:
    from sim.build import build_accelerator

    begin = time.monotonic()
    with steps.busy("verilate", program.config.name):
        build = build_accelerator(program.config)
    seconds = time.monotonic() - begin
    steps.line("verilate", f"{program.config.name}, "
                           f"{'cached' if build.cached else f'{seconds:.0f} s'}")


def _announce(program: Program, count: int, steps: Steps) -> None:
    """Say how long the simulation will take, where a person would wonder."""
    cycles = program.prediction.cycles
    minutes = cycles * count / USUAL_SPEED / 60
    if minutes > 1:
        amount = f"{count} images" if count > 1 else "1 image"
        length = f"{minutes:.0f} minutes" if minutes < 100 else f"{minutes / 60:.0f} hours"
        steps.line("simulate", f"{amount} of {grouped(cycles)} cycles: about {length} at "
                               f"{grouped(USUAL_SPEED)} cycles/s"
                               + ("; --images sets how many" if count > 1 else ""))


class _Progress:
    """Progress of a simulation; the last step waits until the speed is known."""

    def __init__(self, steps: Steps):
        self._steps = steps

    def __call__(self, stage: str, done: int, total: int) -> None:
        if stage == "waves":
            self._steps.progress("waves", done, total, "build")
        elif stage == "simulate" and done < total:
            self._steps.progress(stage, done, total, "images")

    def finish(self, result: Any, count: int, macs: int) -> None:
        cycles = round(float(np.mean([run.cycles for run in result.images])))
        speed = macs / max(result.seconds, 1e-9)
        self._steps.progress("simulate", count, count, "images",
                             f"{grouped(cycles)} cycles each   {rate(speed)}MAC/s")


def _compare(quantized: Quantized, program: Program, indices: Sequence[int],
             inputs: NDArray[np.float32], codes: NDArray, runs: Sequence[Any],
             steps: Steps) -> None:
    """Raise ``VerificationError`` at the first code in which two engines differ."""
    from quantizer.export import ort_tensors
    from sim.compare import compare, compare_tensors

    model, folder = quantized.model, quantized.folder
    size = sum(int(np.prod(shape)) for shape in model.graph.shapes.values())
    batch = max(1, BATCH_VALUES // size)
    for done, (index, run) in enumerate(zip(indices, runs, strict=True)):
        steps.progress("compare", done, len(indices), "images", ENGINES_TEXT)
        if done % batch == 0:
            found = ort_tensors(model, inputs[done:done + batch])
        expected = {name: value[0] for name, value in
                    execute(model, codes[done:done + 1]).items()}
        second = {name: found[name][done % batch] for name in expected}
        for difference in compare_tensors(model, expected, second):
            raise VerificationError(difference.text(index, "onnxruntime"))
        for difference in compare(program, model, codes[done], run, expected=expected):
            raise VerificationError(
                f"{difference.text(index, 'RTL')}. Waveform: dynafix simulate {folder} "
                f"--image {index} --layer {shlex.quote(difference.layer)} --waves")
    steps.progress("compare", len(indices), len(indices), "images", ENGINES_TEXT)


def _compare_apart(quantized: Quantized, program: Program, indices: Sequence[int],
                   codes: NDArray, dram: Any, steps: Steps) -> bool:
    """Run the images with every map written, so that layers inside others are compared too.

    Returns
    -------
    bool
        Whether the accelerator can do that.

    Raises
    ------
    VerificationError
        At the first code in which the Verilog differs from numpy.
    """
    from compiler import CompileError, compile_model
    from sim.compare import compare
    from sim.simulate import simulate as run

    count = len(program.fused)
    what = f"{count} {'map' if count == 1 else 'maps'} inside fused layers"
    with steps.busy("compare", what):
        try:
            apart = compile_model(
                quantized.model, program.config, dram=program.dram, fuse=False)
        except CompileError as error:
            steps.line("compare", f"{what}: not compared, only what is made of them. Without "
                                  f"fusing: {error}")
            return False
        result = run(apart, [apart.input_layout.pack(each) for each in codes], dram=dram)
        for index, each, found in zip(indices, codes, result.images, strict=True):
            for difference in compare(apart, quantized.model, each, found):
                raise VerificationError(
                    f"{difference.text(index, 'RTL')}, in a program that keeps every map")
    steps.line("compare", f"{what}: numpy = RTL, in a program without fusing")
    return True


def _record(quantized: Quantized, program: Program, dram: Dram, indices: Sequence[int],
            inputs: NDArray[np.float32], result: Any, macs: int) -> dict[str, Any]:
    runs, first = result.images, result.images[0]
    return {
        "schema": SCHEMA,
        "program_sha256": sha256(quantized.folder / "program" / "manifest.json"),
        "dram": {"latency": dram.latency, "bytes_per_cycle": dram.bandwidth(program.config)},
        "images": list(indices),
        "engines_equal": True,
        "cycles": [run.cycles for run in runs],
        "dram_read_bytes": round(float(np.mean([run.dram_read_bytes for run in runs]))),
        "dram_written_bytes": round(float(np.mean([run.dram_written_bytes for run in runs]))),
        "seconds": result.seconds,
        "simulated_cycles_per_second": result.cycles_per_second,
        "simulated_macs_per_second": macs / max(result.seconds, 1e-9),
        "layer_cycles": layer_cycles(
            first.events, len(program.layers), first.cycles,
            first.segment_cycles if program.host_steps else ()),
        "counters": [
            {engine: first.counters[layer.index, engine] for engine in ENGINES}
            for layer in program.layers],
        "timeline": timeline(first.events),
        "class_names": quantized.provenance["class_names"],
        "predictions": _predictions(quantized, program, indices, runs),
    }


def layer_cycles(events: Sequence[tuple[int, str, str, int]], layers: int,
                 cycles: int, segments: Sequence[int] = ()) -> list[int]:
    """Return the cycles from the end of one layer's computation to that of the next.

    Where layers take turns, those of a layer are the sum over its turns.

    Parameters
    ----------
    events : sequence of (cycle, engine, "start" or "done", layer)
        What the engines did.
    layers : int
        How many layers there are.
    cycles : int
        Cycles of the whole image; what comes after the last computation goes to the last layer.
    segments : sequence of int
        Cycles of each part of a program that stops for the host; what comes after the last
        computation of a part goes to the layer of that computation.

    Returns
    -------
    list of int
        One a layer; their sum is ``cycles``.
    """
    spent = [0] * layers
    before, last = 0, layers - 1
    ends = list(accumulate(segments))[:-1]
    for cycle, engine, kind, layer in events:
        while ends and cycle > ends[0]:
            spent[last] += ends[0] - before
            before = ends.pop(0)
        if engine == "calc" and kind == "done":
            spent[layer] += cycle - before
            before = cycle
            last = layer if segments else last
    spent[last] += cycles - before
    return spent


def timeline(events: Sequence[tuple[int, str, str, int]]) -> list[dict[str, Any]]:
    """Return the spans in which an engine worked on a layer; each engine works in order."""
    spans, open_spans = [], {engine: [] for engine in ENGINES}
    for cycle, engine, kind, layer in events:
        if kind == "start":
            open_spans[engine].append((cycle, layer))
        else:
            start, layer = open_spans[engine].pop(0)
            spans.append({"engine": engine, "layer": layer, "start": start, "end": cycle})
    return sorted(spans, key=lambda span: (span["start"], span["end"]))


def _predictions(quantized: Quantized, program: Program, indices: Sequence[int],
                 runs: Sequence[Any]) -> list[dict[str, Any]]:
    model, part = quantized.model, quantized.data.evaluation
    found = []
    for index, run in zip(indices[:MOST_PICTURES], runs, strict=False):
        chances = probabilities(model, program.output_layout.unpack(run.output)[None])[0]
        found.append({
            "index": index,
            "label": int(part.labels[index]),
            "predicted": int(chances.argmax()),
            "float_predicted": int(quantized.evaluation["float_classes"][index]),
            "probabilities": [round(float(chance), 6) for chance in chances],
            "png": picture(part.read([index])[0], model.graph.input_dims),
        })
    return found
