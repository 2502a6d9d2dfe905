"""Print cycles, utilization and traffic of whole networks, beside what is asked of them.

Each network is quantized on random inputs, which changes no cycle, compiled, and predicted by the
cycle model; with ``--rtl`` its Verilog runs one image as well and every tensor is compared with
numpy. Results are kept in ``build/bench`` and used again as long as nothing that they depend on
has changed. A network that cannot run gets a row with the reason. The exit code is 1 when a figure
misses what is asked, or the RTL differs from numpy.
"""

import argparse
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from arch.config import AcceleratorConfig, preset
from compiler import CompileError, DramTiming, compile_model
from dynafix.files import write_json
from dynafix.terminal import Column, Terminal
from dynafix.text import grouped
from quantizer import load_graph, quantize, quantize_input
from quantizer.errors import ModelError


__all__ = (
    "CASES",
    "Case",
    "main",
    "measure",
    "misses",
    "row",
)


ROOT = Path(__file__).resolve().parents[1]
SCHEMA = 2
MODEL_ERROR = 0.03
COLUMNS = (
    Column("network"), Column("config"), Column("predicted", right=True),
    Column("RTL", right=True), Column("model", right=True), Column("util.", right=True),
    Column("asked", right=True), Column("÷ roofline", right=True), Column("asked", right=True),
    Column("ideal", right=True), Column("DRAM KB", right=True), Column("asked", right=True),
    Column("sim. M MAC/s", right=True), Column("M MAC/CPU s", right=True),
    Column("asked", right=True), Column("k cycles/CPU s", right=True), Column(""),
)


@dataclass(frozen=True)
class Case:
    """One line of the table.

    Parameters
    ----------
    title : str
        Network, as shown.
    model : str
        File name without ``.onnx``.
    config : str
        Preset.
    utilization : float or None
        Least products a multiplier a cycle; ``None`` to print only.
    ratio : float or None
        Most cycles ÷ roofline; ``None`` to print only.
    ideal : str
        Cycles of an ideal weight-stationary schedule, as shown.
    kilobytes : float or None
        Most DRAM traffic, in KB of 1024 bytes; ``None`` to print only.
    speed : float or None
        Least speed of the RTL simulation, in millions of MACs a second of one core's time; ``None``
        to print only.
    changes : dict
        Parameters in which the config differs from the preset.
    weight_bits, data_bits : int
        Widths of the quantized network.
    bytes_per_cycle : float
        Bandwidth of the DRAM.
    """

    title: str
    model: str
    config: str = "ecp5_85f"
    utilization: float | None = None
    ratio: float | None = None
    ideal: str = ""
    kilobytes: float | None = None
    speed: float | None = None
    changes: dict[str, Any] = field(default_factory=dict)
    data_bits: int = 8
    weight_bits: int = 8
    bytes_per_cycle: float = 8

    @property
    def label(self) -> str:
        """Config as shown: the preset's lanes, and what differs from it."""
        chosen = preset(self.config)
        return " ".join([f"{chosen.in_lanes} × {chosen.out_lanes}", *(
            f"{name}={value}" for name, value in self.changes.items())])

    @property
    def key(self) -> str:
        """Name of the file of results."""
        return "-".join([self.model, self.config, f"{self.data_bits}x{self.weight_bits}", *(
            f"{name}{value}" for name, value in self.changes.items())])

    def accelerator(self) -> AcceleratorConfig:
        """Return the config; ``ValueError`` if there is none like it."""
        return replace(preset(self.config), **self.changes)


_WIDE = {"data_bits": 16, "weight_bits": 16, "bytes_per_cycle": 28}

CASES = (
    Case("ResNet-8", "resnet8_mlperftiny", utilization=0.90, ratio=1.10, ideal="98 400"),
    Case("ResNet-20", "resnet20_cifar10", utilization=0.93, ratio=1.07, ideal="319 600"),
    Case("VGG-small", "vgg_small_cifar10jpeg", utilization=0.72, ratio=1.15, ideal="212 600"),
    Case("DS-CNN", "kws_dscnn", utilization=0.72, ratio=1.25, ideal="20 600–24 600"),
    Case("MobileNet v1 0.25, 96", "vww_mobilenetv1_025_96", utilization=0.62, ratio=1.35,
         ideal="73 100–83 100"),
    Case("MobileNet v2 1.0, 224", "mobilenet_v2_100_224", utilization=0.70, ratio=1.20,
         ideal="2.94–3.05 M", speed=60),
    Case("SqueezeNet 1.1", "squeezenet1_1_224", utilization=0.90, ratio=1.08, ideal="2.99 M"),
    Case("VGG-16, convolutions", "vgg16_convolutions", "large16", utilization=0.95, ratio=1.05,
         speed=120, **_WIDE),
    Case("VGG-16, rank-500 FC6", "vgg16_rank500", "large16", ratio=1.08, **_WIDE),
    Case("ResNet-20, 4-bit weights", "resnet20_cifar10", utilization=1.6, weight_bits=4,
         changes={"dual_products": True}),
    Case("peers_small_cnn", "peers_small_cnn", "small", utilization=0.90, ratio=1.10,
         ideal="53 800", kilobytes=32),
    Case("MobileNet v1 0.25, 224", "mobilenet_v1_025_224"),
    Case("CIFAR-10 quick", "cifar10_quick_caffe"),
    Case("autoencoder", "ad_autoencoder_mlperftiny"),
)


def _digest(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()


def _sources(*patterns: str) -> bytes:
    """Return the text of all files of the project that match."""
    paths = [path for pattern in patterns for path in sorted(ROOT.glob(pattern))]
    return b"".join(path.read_bytes() for path in paths)


def _software() -> bytes:
    """Return all that a prediction depends on besides network and case."""
    return _sources("arch/**/*.py", "quantizer/**/*.py", "compiler/**/*.py")


def _hardware(case: Case) -> str:
    """Return a digest of all that the RTL's cycles depend on besides the program."""
    return _digest(_sources("arch/**/*.py", "hw/**/*.py", "sim/rtl/*"), repr(case).encode())


def _stored(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if found.get("schema") == SCHEMA else {}


def _compiled(case: Case, path: Path) -> tuple[Any, Any, Any]:
    """Return the model, its program and the codes of one random image."""
    graph = load_graph(path)
    inputs = np.random.default_rng(0).standard_normal((2, *graph.input_dims)).astype(np.float32)
    model = quantize(graph, inputs, data_bits=case.data_bits, weight_bits=case.weight_bits,
                     per_channel=True)
    dram = DramTiming(latency=30, bytes_per_cycle=case.bytes_per_cycle)
    program = compile_model(model, case.accelerator(), dram=dram)
    return model, program, quantize_input(model, inputs[:1])[0]


def _predicted(program: Any) -> dict[str, Any]:
    prediction = program.prediction
    return {
        "program": _digest(program.program_image, program.weight_image),
        "cycles": prediction.cycles, "roofline": program.roofline_cycles,
        "macs": sum(layer.macs for layer in program.layers),
        "multipliers": program.config.multipliers, "bytes": prediction.bytes,
        "products": max(program.products),
    }


def _simulated(case: Case, compiled: tuple[Any, Any, Any], steps: Terminal) -> dict[str, Any]:
    """Run one image on the Verilog and compare every tensor."""
    from sim.compare import compare
    from sim.result import DramModel
    from sim.simulate import simulate

    model, program, codes = compiled
    result = simulate(
        program, [program.input_layout.pack(codes)],
        dram=DramModel(latency=30, bytes_per_cycle=case.bytes_per_cycle),
        progress=lambda stage, done, total: steps.progress(stage, done, total, case.title))
    run = result.images[0]
    counters: dict[str, Counter[str]] = {}
    for (_, engine), counts in run.counters.items():
        counters.setdefault(engine, Counter()).update(counts)
    return {
        "cycles": run.cycles, "bytes": run.dram_read_bytes + run.dram_written_bytes,
        "counters": counters, "seconds": result.seconds, "cpu_seconds": result.cpu_seconds,
        "difference": next(map(str, compare(program, model, codes, run)), None),
    }


def measure(case: Case, models: Path, folder: Path, *, rtl: bool,
            steps: Terminal) -> dict[str, Any]:
    """Return what is known of a case, measuring what is not stored.

    Parameters
    ----------
    case : Case
        Line of the table.
    models : Path
        Folder of the ONNX files.
    folder : Path
        Where results are stored, and ONNX files that scripts/vgg16.py has made.
    rtl : bool
        Whether to run the Verilog too.
    steps : Terminal
        Is told the progress.

    Returns
    -------
    dict
        ``reason`` if it cannot run; else ``predicted`` and, where it is known, ``rtl``.
    """
    name = f"{case.model}.onnx"
    path = next((
        place / name for place in (models, folder) if (place / name).is_file()), models / name)
    store = folder / f"{case.key}.json"
    try:
        case.accelerator()
    except ValueError as error:
        return {"reason": str(error)}
    if not path.is_file():
        return {"reason": f"{name} is neither in {models} nor in {folder}"}
    key = _digest(path.read_bytes(), _software(), repr(case).encode())
    old = _stored(store)
    found = {name: old[name] for name in ("reason", "predicted") if old.get("key") == key
             and name in old}
    compiled = None
    if not found:
        try:
            with steps.busy("compile", case.title):
                compiled = _compiled(case, path)
            found = {"predicted": _predicted(compiled[1])}
        except (ModelError, CompileError) as error:
            found = {"reason": str(error).removeprefix(f"{path}: ")}
    if "predicted" in found:
        origin = {"program": found["predicted"]["program"], "hardware": _hardware(case)}
        if old.get("rtl", {}).get("origin") == origin:
            found["rtl"] = old["rtl"]
        elif rtl:
            compiled = compiled or _compiled(case, path)
            found["rtl"] = {**_simulated(case, compiled, steps), "origin": origin}
    found = {"schema": SCHEMA, "key": key, **found}
    if found != old:
        write_json(store, found)
    return found


def misses(case: Case, found: Mapping[str, Any]) -> list[str]:
    """Return what a case misses, in words."""
    if "reason" in found:
        return []
    figures = _figures(found)
    missed = []
    if case.utilization is not None and figures["utilization"] < case.utilization:
        missed.append("utilization")
    if case.ratio is not None and figures["ratio"] > case.ratio:
        missed.append("cycles ÷ roofline")
    if case.kilobytes is not None and figures["kilobytes"] > case.kilobytes:
        missed.append("DRAM traffic")
    if case.speed is not None and "rtl" in found and figures["cpu_speed"] < case.speed:
        missed.append("speed of the simulation")
    if figures["error"] is not None and abs(figures["error"]) > MODEL_ERROR:
        missed.append("model against RTL")
    if found.get("rtl", {}).get("difference"):
        missed.append("RTL differs from numpy")
    return missed


def _figures(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figures of a row: of the RTL where it has run, else of the model."""
    predicted, rtl = found["predicted"], found.get("rtl")
    seen = rtl or predicted
    return {
        "utilization": predicted["macs"] / predicted["multipliers"] / seen["cycles"],
        "ratio": seen["cycles"] / predicted["roofline"],
        "kilobytes": seen["bytes"] / 1024,
        "error": predicted["cycles"] / rtl["cycles"] - 1 if rtl else None,
        "speed": predicted["macs"] / rtl["seconds"] / 1e6 if rtl else None,
        "cpu_speed": predicted["macs"] / rtl["cpu_seconds"] / 1e6 if rtl else None,
        "cycle_speed": rtl["cycles"] / rtl["cpu_seconds"] / 1e3 if rtl else None,
    }


def _utilization(found: Mapping[str, Any], figures: Mapping[str, Any]) -> str:
    """Return the products a multiplier a cycle; the roofline is always that of one."""
    products = found["predicted"].get("products", 1)
    return f"{figures['utilization']:.3f}{f' of {products}' if products > 1 else ''}"


def _asked(sign: str, value: float | None) -> str:
    return "" if value is None else f"{sign} {value:g}"


def row(case: Case, found: Mapping[str, Any]) -> list[str]:
    """Return the cells of a case for :data:`COLUMNS`."""
    asked = (_asked("≥", case.utilization), _asked("≤", case.ratio),
             _asked("≤", case.kilobytes), _asked("≥", case.speed))
    if "reason" in found:
        return [case.title, case.label, "", "", "", "", asked[0], "", asked[1], case.ideal, "",
                asked[2], "", "", asked[3], "", f"does not run: {found['reason'].split(';')[0]}"]
    figures, rtl, missed = _figures(found), found.get("rtl"), misses(case, found)
    error = figures["error"]
    speed, cpu_speed, cycle_speed = (
        f"{figures[name]:.0f}" if rtl else "–" for name in ("speed", "cpu_speed", "cycle_speed"))
    verdict = "" if not any(asked) else "✓"
    return [
        case.title, case.label, grouped(found["predicted"]["cycles"]),
        grouped(rtl["cycles"]) if rtl else "–", f"{100 * error:+.2f} %" if rtl else "–",
        _utilization(found, figures), asked[0], f"{figures['ratio']:.3f}", asked[1], case.ideal,
        f"{figures['kilobytes']:.1f}", asked[2], speed, cpu_speed, asked[3], cycle_speed,
        f"✗ {', '.join(missed)}" if missed else verdict,
    ]


def _where(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield, for each engine, where the cycles of the RTL go."""
    rtl = found["rtl"]
    for engine, counts in rtl["counters"].items():
        shares = ", ".join(
            f"{name} {100 * counts[name] / rtl['cycles']:.1f} %"
            for name in ("busy", "stall", "wait"))
        yield f"{engine.upper()} {shares}"


def _verdict(cases: Sequence[Case], found: Sequence[Mapping[str, Any]]) -> str:
    stopped = sum("reason" in each for each in found)
    missed = sum(bool(misses(case, each)) for case, each in zip(cases, found, strict=True))
    return (f"{len(cases) - stopped} of {len(cases)} networks run, {missed} of them miss what is "
            f"asked; one image, from start to interrupt")


def main() -> int:
    """Measure every case and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, default=ROOT.parent / "shared" / "models",
                        help="folder of ONNX files (default ../shared/models)")
    parser.add_argument("--rtl", action="store_true", help="run the Verilog too")
    parser.add_argument("--only", default="", metavar="TEXT",
                        help="only networks with this in their title")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "bench",
                        help="folder for results (default build/bench)")
    arguments = parser.parse_args()
    cases = [case for case in CASES if arguments.only.lower() in case.title.lower()]
    if not cases:
        parser.error(f"--only: no network has {arguments.only!r} in its title")
    found = []
    with Terminal() as steps:
        for number, case in enumerate(cases):
            steps.progress("networks", number, len(cases), case.title)
            found.append(measure(case, arguments.models, arguments.output, rtl=arguments.rtl,
                                 steps=steps))
        steps.blank()
        steps.table(COLUMNS, [row(case, each) for case, each in zip(cases, found, strict=True)])
        for case, each in zip(cases, found, strict=True):
            if "rtl" in each and misses(case, each):
                steps.summary("", f"{case.title}: {'; '.join(_where(each))}")
                if each["rtl"]["difference"]:
                    steps.summary("", f"{case.title}: {each['rtl']['difference']}")
        steps.blank()
        steps.summary("table", _verdict(cases, found))
    return int(any(misses(case, each) for case, each in zip(cases, found, strict=True)))


if __name__ == "__main__":
    sys.exit(main())
