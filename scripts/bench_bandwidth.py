"""Print what mixed widths of weights save where the DRAM is slow, and what they lose.

For SqueezeNet and MobileNet v2 on the 8 × 16 accelerator with 2 bytes a cycle: all weights in 8
bits beside a width for each layer, chosen on calibration images for a budget. Cycles and bytes are
those of the cycle model, also for the layers alone that the DRAM bounds at 8 bits; accuracy is that
of numpy on the evaluation images. With ``--dual`` the multipliers do two products of weights of at
most 4 bits a cycle.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from arch.config import preset
from compiler.bounds import bounds
from dynafix import api
from dynafix.options import Dram, Options
from dynafix.terminal import Column, Terminal
from dynafix.text import grouped


ROOT = Path(__file__).resolve().parents[1]
NETWORKS = {"SqueezeNet 1.1": "squeezenet1_1_224", "MobileNet v2": "mobilenet_v2_100_224"}
LEAST_GAIN, MOST_LOST = 1.4, 0.5
COLUMNS = (
    Column("network"), Column("weights"), *(Column(name, right=True) for name in (
        "cycles", "÷", "DRAM-bound layers", "÷", "DRAM bytes", "top-1", "lost, points", "images")))


def _measured(model: Path, data: Path, folder: Path, options: Options, config: Any, dram: Dram,
              terminal: Terminal) -> tuple[Any, dict[str, Any]]:
    quantized = api.quantize(model, data, folder, options=options, steps=terminal)
    return api.compile(quantized, config=config, dram=dram, steps=terminal), quantized.evaluation


def main() -> int:
    """Choose widths, measure both networks and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared",
                        help="folder of models and data (default ../shared)")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "bandwidth",
                        help="folder for results (default build/bandwidth)")
    parser.add_argument("--only", default="", metavar="TEXT",
                        help="only networks with this in their name")
    parser.add_argument("--budget", default="bytes=60%", help="see dynafix widths")
    parser.add_argument("--images", type=int, default=8,
                        help="calibration images to measure losses of layers with")
    parser.add_argument("--dual", action="store_true", help="two products a multiplier")
    parser.add_argument("--weight-rounding", default="feedback")
    arguments = parser.parse_args()
    config = replace(preset("ecp5_85f"), dual_products=arguments.dual)
    dram, table, missed = Dram(bytes_per_cycle=2), [], 0
    common = Options(per_channel=True, weight_rounding=arguments.weight_rounding)
    data = arguments.shared / "data" / "imagenet_dev.npz"
    with Terminal() as terminal:
        for title, name in NETWORKS.items():
            model = arguments.shared / "models" / f"{name}.onnx"
            if arguments.only.lower() not in title.lower():
                continue
            if not (model.is_file() and data.is_file()):
                table.append([title, f"not measured: needs {model} and {data}", *[""] * 8])
                continue
            folder = arguments.output / f"{name}{'-dual' if arguments.dual else ''}"
            found = api.choose_widths(
                model, data, folder / "widths", budget=arguments.budget, config=config, dram=dram,
                options=common, images=arguments.images, steps=terminal)
            before, before_scores = _measured(
                model, data, folder / "uniform", common, config, dram, terminal)
            after, after_scores = _measured(
                model, data, folder / "mixed", replace(common, widths=found["widths"]), config,
                dram, terminal)
            slow = {each.name for each in bounds(before) if each.bound_by == "DRAM"}
            new, gain, lost = rows(title, (before, after), (before_scores, after_scores), slow)
            table += new
            missed += gain < LEAST_GAIN or lost > MOST_LOST
        terminal.blank()
        terminal.table(COLUMNS, table)
        terminal.blank()
        terminal.summary("asked", f"DRAM-bound layers ÷ at least {LEAST_GAIN}, at most {MOST_LOST} "
                                  f"points lost against 8 bits; {missed} miss it")
    return int(bool(missed))


def rows(title: str, programs: tuple[Any, Any], scores: tuple[Any, Any],
          slow: set[str]) -> tuple[list[list[str]], float, float]:
    """Return the lines of a network, the gain of its slow layers and the points lost."""
    cycles = [program.prediction.cycles for program in programs]
    parts = [
        sum(predicted.cycles for layer, predicted in zip(
            program.layers, program.prediction.layers, strict=True) if layer.name in slow)
        for program in programs]
    top = [100 * each["quantized_accuracy"] for each in scores]
    gain = parts[0] / max(parts[1], 1)
    lines = [
        [title if index == 0 else "", ("8 bits", "mixed")[index], grouped(cycles[index]),
         f"{cycles[0] / cycles[index]:.2f}", grouped(parts[index]),
         f"{parts[0] / max(parts[index], 1):.2f}", grouped(programs[index].prediction.bytes),
         f"{top[index]:.2f} %", f"{top[0] - top[index]:.2f}",
         grouped(scores[index]["images_evaluated"])]
        for index in range(2)]
    return lines, gain, top[0] - top[1]


if __name__ == "__main__":
    sys.exit(main())
