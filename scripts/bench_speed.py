"""Print how long quantizing takes and how fast the integer model runs, beside other tools.

Each job is a process of its own, which gives its peak memory; the tools take turns, several rounds,
and ratios are medians over the rounds, so that what else the machine does falls on all of them.
Our quantizer fits both ends, equalizes, searches greedily and corrects biases, as ``dynafix
quantize`` does by default, and rounds weights to nearest, as the other tools do; a row of its own
says what the default, rounding with feedback, takes. Its memory is measured with twice the images,
too: what more images take must be at most the float32 activations that the largest layer reads and
writes for them, or the buffers of the search, which are of one size, where these are larger.
onnxruntime's static quantization (MinMax) is always there. AMD Quark (XINT8) is no dependency:
``--quark`` names the interpreter of an environment that has ``amd-quark`` and ``torch``; without
it the row is left out. Inference compares the integer model in numpy with onnxruntime in float32
in one process that is bound to as many cores as each of the two has threads.

The exit code is 1 when a figure misses what is asked.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np


__all__ = (
    "CASES",
    "Case",
    "Timing",
    "activations",
    "child",
    "main",
    "ratio",
)


ROOT = Path(__file__).resolve().parents[1]
SPEED = 1 / 3  # least throughput, relative to float32
SHARE = 1 / 2  # most time of the quantizer, relative to Quark's
SEARCHED = 8  # images to quantize with before inference is measured
OPTIONS = {"fit_ends": True, "equalize": True, "correct": True}
BATCH = 16
MIB = 1 << 20
BUFFERS = 256  # MiB of float tensors that the search holds at most
ROUNDS_INSIDE = 3


@dataclass(frozen=True)
class Case:
    """One network.

    Parameters
    ----------
    model, data : str
        Names of the files without endings.
    quantized : bool
        Whether quantizing is compared.
    images : int
        Images for inference; 0 where it is not compared.
    """

    model: str
    data: str
    quantized: bool
    images: int


CASES = (
    Case("mobilenet_v2_100_224", "imagenet_dev", True, 32),
    Case("squeezenet1_1_224", "imagenet_dev", True, 0),
    Case("resnet20_cifar10", "cifar10_dev", True, 512),
)


@dataclass(frozen=True)
class Timing:
    """What a job took.

    Parameters
    ----------
    wall, cpu : float
        Seconds; of all threads together.
    peak : float
        Largest resident memory of the process, in MiB.
    """

    wall: float
    cpu: float
    peak: float


def ratio(ours: Sequence[Timing], others: Sequence[Timing], field: str) -> float:
    """Return the median over the rounds of our time divided by the other's."""
    return statistics.median(
        getattr(a, field) / getattr(b, field) for a, b in zip(ours, others, strict=True))


class _Reader:
    """Images one by one, as onnxruntime and Quark take them."""

    def __init__(self, name: str, images: np.ndarray) -> None:
        self._items: Iterator[dict[str, np.ndarray]] = iter(
            [{name: images[i:i + 1]} for i in range(len(images))])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._items, None)


def _input_name(model: str) -> str:
    import onnx
    graph = onnx.load(model, load_external_data=False).graph
    stored = {tensor.name for tensor in graph.initializer}
    return next(value.name for value in graph.input if value.name not in stored)


def _dynafix(
    model: str, images: np.ndarray, _: str, *, weight_rounding: str = "nearest"
) -> None:
    from quantizer import load_graph, quantize
    quantize(load_graph(model), images, weight_rounding=weight_rounding, **OPTIONS)


def _onnxruntime(model: str, images: np.ndarray, output: str) -> None:
    from onnxruntime.quantization import CalibrationMethod, quantize_static
    quantize_static(
        model, output, _Reader(_input_name(model), images),
        calibrate_method=CalibrationMethod.MinMax)


def _quark(model: str, images: np.ndarray, output: str) -> None:
    from quark.onnx import ModelQuantizer
    from quark.onnx.quantization.config import Config, get_default_config
    config = Config(global_quant_config=get_default_config("XINT8"))
    ModelQuantizer(config).quantize_model(model, output, _Reader(_input_name(model), images))


def _inference(model: str, images: np.ndarray, threads: int) -> list[tuple[float, float]]:
    """Return CPU seconds of onnxruntime and of the integer model for all images, by turns."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    import onnxruntime

    from quantizer import load_graph, quantize
    from quantizer.execute import run
    graph = load_graph(model)
    quantized = quantize(graph, images[:SEARCHED], **OPTIONS)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def in_float() -> None:
        for start in range(0, len(images), BATCH):
            session.run(None, {graph.input: images[start:start + BATCH]})

    in_float()
    run(quantized, images[:BATCH])
    rounds = []
    for _ in range(ROUNDS_INSIDE):
        marks = [time.process_time()]
        for job in (in_float, lambda: run(quantized, images)):
            job()
            marks.append(time.process_time())
        rounds.append((marks[1] - marks[0], marks[2] - marks[1]))
    return rounds


JOBS = {
    "dynafix": _dynafix, "dynafix, feedback": partial(_dynafix, weight_rounding="feedback"),
    "onnxruntime": _onnxruntime, "Quark": _quark}


def child(job: str, model: str, images: str, threads: int) -> None:
    """Do one job and print its figures as JSON, last: imports of other packages may print too."""
    values = np.load(images)
    if job == "inference":
        print(json.dumps(_inference(model, values, threads)))
        return
    with tempfile.TemporaryDirectory() as folder:
        wall, cpu = time.perf_counter(), time.process_time()
        os.chdir(folder)  # Quark leaves files where it runs
        JOBS[job](model, values, str(Path(folder) / "quantized.onnx"))
        os.chdir(ROOT)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"wall": wall, "cpu": cpu, "peak": peak}))


def _started(job: str, model: Path, images: Path, *, python: str, threads: int = 1) -> Any:
    """Run a job in a process of its own and return what it prints."""
    done = subprocess.run(
        [python, __file__, "--child", job, str(model.resolve()), str(images), str(threads)],
        capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode:
        sys.exit(f"{job} failed on {model}:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def _images(model: Path, data: Path, count: int) -> np.ndarray:
    """Return calibration images, preprocessed as the model asks for."""
    from dynafix.data import load_data
    from dynafix.preprocess import resolve
    from quantizer import load_graph
    graph, found = load_graph(model), load_data(data)
    rule = resolve(graph.metadata.get("preprocess"), {}, found, graph.input_dims, model=str(model))
    part = found.calibration
    indices = [index % len(part) for index in range(count)]
    return rule.apply(part.read(indices), graph.input_dims, part.name)


def _quantizing(
    model: Path, images: Path, *, rounds: int, quark: str | None
) -> dict[str, list[Timing]]:
    """Return what each tool took in each round."""
    tools = ["dynafix", "dynafix, feedback", "onnxruntime", *(["Quark"] if quark else [])]
    found: dict[str, list[Timing]] = {tool: [] for tool in tools}
    for _ in range(rounds):
        for tool in tools:
            python = quark if tool == "Quark" and quark else sys.executable
            found[tool].append(Timing(**_started(tool, model, images, python=python)))
    return found


def activations(model: Path) -> tuple[int, int]:
    """Return the bytes of float32 activations of an image: of the largest layer, and of all.

    Those of a layer are what it reads and what it writes.
    """
    from quantizer import load_graph
    graph = load_graph(model)
    sizes = {name: 4 * int(np.prod(shape)) for name, shape in graph.shapes.items()}
    layers = (sum(sizes[name] for name in {*node.inputs, node.output}) for node in graph)
    return max(layers), sum(sizes.values())


def _memory_row(
    model: Path, images: Path, few: int, many: int, peak: float
) -> tuple[list[str], bool]:
    """Return peaks of memory with few images, as measured, and with many; whether too much."""
    larger = Timing(**_started("dynafix", model, images, python=sys.executable)).peak
    layer, whole = ((many - few) * size / MIB for size in activations(model))
    row = [model.stem, str(few), f"{peak:.0f}", str(many), f"{larger:.0f}",
           f"{larger - peak:.0f}", f"≤ {max(layer, BUFFERS):.0f}", f"{layer:.0f}", f"{whole:.0f}"]
    return row, larger - peak > max(layer, BUFFERS)


def _median(timings: Sequence[Timing], field: str) -> float:
    return statistics.median(getattr(timing, field) for timing in timings)


def _quantizing_rows(model: str, found: dict[str, list[Timing]]) -> Iterator[list[str]]:
    for tool, timings in found.items():
        shares = [f"{ratio(found['dynafix'], timings, field):.2f}" for field in ("wall", "cpu")]
        yield [
            model, tool, f"{_median(timings, 'wall'):.1f}", f"{_median(timings, 'cpu'):.1f}",
            f"{max(timing.peak for timing in timings):.0f}",
            *(["", ""] if tool == "dynafix" else shares),
            f"≤ {SHARE:.2f}, both" if tool == "Quark" else ""]


def main() -> int:
    """Measure all networks and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared",
                        help="folder with models and data (default ../shared)")
    parser.add_argument("--only", default="", metavar="TEXT",
                        help="only networks with this in their name")
    parser.add_argument("--images", type=int, default=100,
                        help="calibration images (default 100)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each tool (default 3)")
    parser.add_argument("--threads", type=int, default=1,
                        help="threads of each engine in inference (default 1)")
    parser.add_argument("--quark", metavar="PYTHON", help="interpreter that has AMD Quark")
    arguments = parser.parse_args()
    cases = [case for case in CASES if arguments.only in case.model]
    if not cases:
        parser.error(f"--only: no network has {arguments.only!r} in its name")
    from dynafix.terminal import Column, Terminal
    quantizing, memory, inference, missed = [], [], [], False
    with Terminal() as steps, tempfile.TemporaryDirectory() as folder:
        images = Path(folder) / "images.npy"
        for number, case in enumerate(cases):
            steps.progress("networks", number, len(cases), case.model)
            model = arguments.shared / "models" / f"{case.model}.onnx"
            data = arguments.shared / "data" / f"{case.data}.npz"
            if case.quantized:
                np.save(images, _images(model, data, arguments.images))
                found = _quantizing(
                    model, images, rounds=arguments.rounds, quark=arguments.quark)
                quantizing.extend(_quantizing_rows(case.model, found))
                if "Quark" in found:
                    missed |= any(
                        ratio(found["dynafix"], found["Quark"], field) > SHARE
                        for field in ("wall", "cpu"))
                few, many = arguments.images, 2 * arguments.images
                np.save(images, _images(model, data, many))
                peak = statistics.median(timing.peak for timing in found["dynafix"])
                row, large = _memory_row(model, images, few, many, peak)
                memory.append(row)
                missed |= large
            if case.images:
                np.save(images, _images(model, data, case.images))
                pairs = [
                    pair for _ in range(arguments.rounds) for pair in _started(
                        "inference", model, images, python=sys.executable,
                        threads=arguments.threads)]
                float_ms, our_ms = (
                    1e3 * statistics.median(times) / case.images for times in zip(*pairs))
                speed = statistics.median(a / b for a, b in pairs)
                missed |= speed < SPEED
                inference.append([
                    case.model, str(arguments.threads), f"{float_ms:.2f}", f"{our_ms:.2f}",
                    f"{speed:.2f}", f"≥ {SPEED:.2f}"])
        steps.blank()
        steps.table(
            (Column("quantizing"), Column("tool"), Column("seconds", right=True),
             Column("CPU s", right=True), Column("peak MiB", right=True),
             Column("ours ÷ it", right=True), Column("in CPU s", right=True), Column("asked")),
            quantizing)
        steps.blank()
        steps.table(
            (Column("memory"), Column("images", right=True), Column("peak MiB", right=True),
             Column("images", right=True), Column("peak MiB", right=True),
             Column("more", right=True), Column("asked"), Column("one layer", right=True),
             Column("all layers", right=True)),
            memory)
        steps.blank()
        steps.table(
            (Column("inference"), Column("threads", right=True),
             Column("float32, CPU ms", right=True), Column("integer, CPU ms", right=True),
             Column("throughput", right=True), Column("asked")),
            inference)
    return int(missed)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], sys.argv[3], sys.argv[4], int(sys.argv[5]))
    else:
        sys.exit(main())
