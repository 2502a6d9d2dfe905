"""Print what mixed widths of weights save where the DRAM is slow, and what they lose.

For SqueezeNet and MobileNet v2 on the 8 × 16 accelerator with 2 bytes a cycle: all weights in 8
bits beside a width for each layer, chosen on calibration images for a budget. Cycles and bytes are
those of the cycle model, also for the layers alone whose roofline is bytes at 8 bits: those for
which even one pass over their weights takes longer than their products. Accuracy is that of numpy
on the evaluation images; what the widths lose has its 95 % interval, paired. With ``--dual`` the
multipliers do two products of weights of at most 4 bits a cycle.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from arch.config import AcceleratorConfig, preset
from compiler import DramTiming, Program, compile_model
from dynafix import api
from dynafix.api.evaluation import Loss
from dynafix.api.preparation import prepare, search_formats
from dynafix.intervals import paired_interval
from dynafix.options import Dram, Options
from dynafix.steps import Steps
from dynafix.terminal import Column, Terminal
from dynafix.text import grouped
from quantizer.execute import output_name, run
from quantizer.model import Limits
from quantizer.reference import FloatReference


ROOT = Path(__file__).resolve().parents[1]
NETWORKS = {"SqueezeNet 1.1": "squeezenet1_1_224", "MobileNet v2": "mobilenet_v2_100_224"}
LEAST_GAIN, MOST_LOST = 1.4, 0.5
BATCH = 16
COLUMNS = (
    Column("network"), Column("weights"), *(Column(name, right=True) for name in (
        "cycles", "÷", "DRAM-bound layers", "÷", "DRAM bytes", "output", "top-1",
        "lost, points", "images")))


@dataclass(frozen=True)
class Found:
    """A network with some widths.

    Parameters
    ----------
    program : Program
        Its program.
    right : bool (n,)
        Evaluation images that it has the right class for.
    snr_db : float, optional
        Signal-to-noise ratio of its output on them, before Softmax; None without noise.
    """

    program: Program
    right: NDArray[np.bool_]
    snr_db: float | None


def _measured(model: Path, data: Path, options: Options, config: AcceleratorConfig, dram: Dram,
              steps: Steps) -> Found:
    prepared = prepare(model, data, options, {}, steps)
    quantized = search_formats(
        prepared, prepared.calibration(steps), Limits(acc_bits=config.acc_bits), steps)
    with steps.busy("compile", config.name):
        program = compile_model(quantized, config, dram=DramTiming(
            latency=dram.latency, bytes_per_cycle=dram.bandwidth(config)))
    part, reference = prepared.images.evaluation, FloatReference(prepared.graph)
    name, classes = output_name(prepared.graph), list[int]()
    loss = Loss()
    for start in range(0, len(part), BATCH):
        steps.progress("evaluate", start, len(part), "images")
        indices = range(start, min(start + BATCH, len(part)))
        inputs = prepared.rule.apply(part.read(indices), prepared.graph.input_dims, part.name)
        exact = reference.tensors(inputs, [name])[name].reshape(len(inputs), -1)
        values = run(quantized, inputs, softmax=False).reshape(len(inputs), -1)
        classes += values.argmax(1).tolist()
        loss.add(exact, values)
    steps.progress("evaluate", len(part), len(part), "images")
    return Found(program, np.array(classes) == part.labels, loss.snr_db)


def slow_layers(program: Program) -> set[str]:
    """Return the layers with products whose roofline is bytes."""
    return {
        layer.name for layer, roofline in zip(program.layers, program.roofline, strict=True)
        if roofline > layer.macs / program.config.multipliers > 0}


def main() -> int:
    """Choose widths, measure both networks and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared",
                        help="folder of models and data (default ../shared)")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "bandwidth",
                        help="folder for results (default build/bandwidth)")
    parser.add_argument("--only", default="", metavar="TEXT",
                        help="only networks with this in their name")
    parser.add_argument("--budget", default="cycles=88%",
                        help="see dynafix widths (default cycles=88%%)")
    parser.add_argument("--images", type=int, default=32,
                        help="calibration images to measure losses of layers with")
    parser.add_argument("--dual", action="store_true", help="two products a multiplier")
    parser.add_argument("--calibration", type=int, default=200, help="calibration images")
    parser.add_argument("--weight-rounding", default="learned")
    arguments = parser.parse_args()
    config = replace(preset("ecp5_85f"), dual_products=arguments.dual)
    dram, table, missed = Dram(bytes_per_cycle=2), [], 0
    common = Options(per_channel=True, weight_rounding=arguments.weight_rounding,
                     calibration=arguments.calibration)
    data = arguments.shared / "data" / "imagenet_dev.npz"
    with Terminal() as terminal:
        for title, name in NETWORKS.items():
            model = arguments.shared / "models" / f"{name}.onnx"
            if arguments.only.lower() not in title.lower():
                continue
            if not (model.is_file() and data.is_file()):
                table.append([title, f"not measured: needs {model} and {data}", *[""] * 9])
                continue
            folder = arguments.output / f"{name}{'-dual' if arguments.dual else ''}"
            found = api.choose_widths(
                model, data, folder / "widths", budget=arguments.budget, config=config, dram=dram,
                options=common, images=arguments.images, steps=terminal)
            before, after = (
                _measured(model, data, options, config, dram, terminal)
                for options in (common, replace(common, widths=found["widths"])))
            new, gain, lost = rows(title, before, after)
            table += new
            missed += gain < LEAST_GAIN or lost > MOST_LOST
        terminal.blank()
        terminal.table(COLUMNS, table)
        terminal.blank()
        terminal.summary(
            "asked", f"÷ at least {LEAST_GAIN} of DRAM-bound layers, or of a network without; at "
                     f"most {MOST_LOST} points lost against 8 bits; {missed} miss it")
    return int(bool(missed))


def rows(title: str, before: Found, after: Found) -> tuple[list[list[str]], float, float]:
    """Return the lines of a network, the gain where the DRAM is the limit, and the points lost."""
    slow = slow_layers(before.program)
    parts = [
        sum(predicted.cycles for layer, predicted in zip(
            found.program.layers, found.program.prediction.layers, strict=True)
            if layer.name in slow)
        for found in (before, after)]
    cycles = [found.program.prediction.cycles for found in (before, after)]
    gains = [_ratios(parts), _ratios(cycles)]
    lost = 100 * float(before.right.mean() - after.right.mean())
    fell, rose = int((before.right & ~after.right).sum()), int((after.right & ~before.right).sum())
    low, high = (100 * bound for bound in paired_interval(fell, rose, len(before.right)))
    lines = [
        [title if index == 0 else "", ("8 bits", "mixed")[index], grouped(cycles[index]),
         gains[1][index], grouped(parts[index]) if slow else "none",
         gains[0][index] if slow else "", grouped(found.program.prediction.bytes),
         "exact" if found.snr_db is None else f"{found.snr_db:.1f} dB",
         f"{100 * found.right.mean():.2f} %",
         f"{lost:.2f} ({low:.1f} … {high:.1f})" if index else "", grouped(len(found.right))]
        for index, found in enumerate((before, after))]
    whole = parts if slow else cycles
    return lines, whole[0] / max(whole[1], 1), lost


def _ratios(costs: Sequence[int]) -> list[str]:
    """Return the first cost over each of two."""
    return [f"{costs[0] / max(cost, 1):.2f}" for cost in costs]


if __name__ == "__main__":
    sys.exit(main())
