"""Print the project's figures: accuracy, three engines, cycles, roofline, simulation speed.

Runs ``dynafix run`` on the shipped LeNet-5 and, where its file is, on ResNet-8, and the 16-bit
accuracy of both. The exit code is 1 when a figure misses its target. On two cores it takes a few
minutes the first time; results stay in the output folder.
"""

import argparse
import shlex
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dynafix import api
from dynafix.options import Dram, Options
from dynafix.terminal import Terminal


__all__ = (
    "Case",
    "Figure",
    "figures",
    "main",
)


ROOT = Path(__file__).resolve().parents[1]
SHIPPED = ROOT / "dynafix" / "models"
SHARED = ROOT.parent / "shared"


@dataclass(frozen=True)
class Case:
    """One network with its images and targets.

    Parameters
    ----------
    name : str
        Title.
    model, data : Path
        The files.
    loss_8, loss_16 : float or None
        Most accuracy that 8/8 and 16/16 may lose against float, in points.
    float_accuracy : float or None
        Float accuracy known from elsewhere, in percent, to 0.1.
    utilization : float
        Least utilization, in percent.
    speed : float
        Least speed of the simulation, in MAC/s.
    """

    name: str
    model: Path
    data: Path
    loss_8: float
    loss_16: float | None = None
    float_accuracy: float | None = None
    utilization: float = 0.0
    speed: float = 0.0


@dataclass(frozen=True)
class Figure:
    """One line of the output.

    Parameters
    ----------
    name, value : str
        What was measured.
    target : str
        What it should be, empty for none.
    met : bool
        Whether it is.
    """

    name: str
    value: str
    target: str = ""
    met: bool = True

    def __str__(self) -> str:
        """Return the line."""
        verdict = f"{'met   ' if self.met else 'MISSED'}  ({self.target})" if self.target else ""
        return f"  {self.name:<34}{self.value:>24}   {verdict}".rstrip()


def measure(case: Case, output: Path, image_count: int) -> tuple[dict[str, Any], float]:
    """Return what ``dynafix run`` finds, and the accuracy at 16/16 bits."""
    dram = Dram(latency=30, bytes_per_cycle=8)
    with Terminal() as steps:
        results = api.run(
            case.model, case.data, output, config="ecp5_85f", images=image_count, dram=dram,
            command=shlex.join(sys.argv), steps=steps)
        wide = api.quantize(
            case.model, case.data, output / "16_bits", steps=steps,
            options=Options(data_bits=16, weight_bits=16))
    return results, wide.evaluation["quantized_accuracy"]


def _accuracies(case: Case, results: dict[str, Any], wide: float) -> Iterator[Figure]:
    real, narrow = (100 * results[f"{kind}_accuracy"] for kind in ("float", "quantized"))
    known = case.float_accuracy
    yield Figure(
        "accuracy, float", f"{real:.2f} %", f"{known:.1f}" if known else "",
        known is None or abs(real - known) <= 0.05 + 1e-9)
    yield Figure("accuracy, 8/8 dynamic", f"{narrow:.2f} %", f"loss at most {case.loss_8}",
                 real - narrow <= case.loss_8 + 1e-9)
    yield Figure("accuracy, 16/16 dynamic", f"{100 * wide:.2f} %",
                 f"loss at most {case.loss_16}" if case.loss_16 is not None else "",
                 case.loss_16 is None or real - 100 * wide <= case.loss_16 + 1e-9)
    static = results.get("static_accuracy")
    yield Figure("accuracy, 8/8 static", "not run" if static is None else f"{100 * static:.2f} %")
    yield Figure("images evaluated", f"{results['images_evaluated']:,}")


def _speeds(case: Case, results: dict[str, Any]) -> Iterator[Figure]:
    cycles, roofline, predicted = (
        results[f"{kind}"] for kind in ("cycles_per_image", "roofline_cycles", "predicted_cycles"))
    yield Figure("cycles per image", f"{cycles:,}")
    yield Figure("roofline", f"{roofline:,} (× {cycles / roofline:.3f})")
    error = 100 * (predicted / cycles - 1)
    yield Figure("model's prediction", f"{predicted:,} ({error:+.1f} %)", "within 10 %",
                 abs(error) <= 10)
    used = 100 * results["utilization"]
    yield Figure("utilization", f"{used:.1f} %",
                 f"at least {case.utilization:g} %" if case.utilization else "",
                 used >= case.utilization)
    yield Figure("DRAM bytes per image", f"{results['dram_bytes']:,}")
    speed = results["simulated_macs_per_second"]
    yield Figure("simulation, MAC/s", f"{speed / 1e6:.1f} M",
                 f"at least {case.speed / 1e6:g} M" if case.speed else "", speed >= case.speed)
    yield Figure("simulation, cycles/s", f"{results['simulated_cycles_per_second']:,.0f}")


def figures(case: Case, results: dict[str, Any], wide: float) -> list[Figure]:
    """Return the figures of one network.

    Parameters
    ----------
    case : Case
        The network.
    results : dict
        What ``dynafix run`` wrote.
    wide : float
        Accuracy at 16/16 bits, 0 to 1.
    """
    layers = results["layers"]
    equal = sum(bool(layer["engines_equal"]) for layer in layers)
    engines = Figure(
        "numpy = onnxruntime = RTL",
        f"{equal}/{len(layers)} layers, {results['images_simulated']} images",
        "every layer", results["engines_equal"] and equal == len(layers))
    return [*_accuracies(case, results, wide), engines, *_speeds(case, results)]


def main() -> int:
    """Run every case and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, default=SHARED / "models",
                        help="folder with resnet8_mlperftiny.onnx (default ../shared/models)")
    parser.add_argument("--data", type=Path, default=SHARED / "data",
                        help="folder with cifar10_dev.npz (default ../shared/data)")
    parser.add_argument("--images", type=int, default=10, help="images to simulate (default 10)")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "bench_main",
                        help="folder for results (default build/bench_main)")
    arguments = parser.parse_args()
    cases = (
        Case("LeNet-5, MNIST", SHIPPED / "lenet5_mnist.onnx", SHIPPED / "mnist_1000.npz",
             loss_8=0.3, loss_16=0.0),
        Case("ResNet-8, CIFAR-10", arguments.models / "resnet8_mlperftiny.onnx",
             arguments.data / "cifar10_dev.npz", loss_8=1.0, float_accuracy=87.2,
             utilization=60, speed=20e6),
    )
    missed = False
    for case in cases:
        absent = [str(path) for path in (case.model, case.data) if not path.is_file()]
        if absent:
            print(f"{case.name}: skipped, not found: {', '.join(absent)}")
            continue
        print(f"{case.name}", flush=True)
        start = time.perf_counter()
        results, wide = measure(case, arguments.output / case.model.stem, arguments.images)
        lines = figures(case, results, wide)
        print(f"\n{case.name}: ecp5_85f, DRAM of 8 bytes/cycle and 30 cycles; "
              f"{time.perf_counter() - start:.0f} s in all")
        print(*lines, "", sep="\n", flush=True)
        missed |= not all(line.met for line in lines)
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
