"""What a person chooses: formats, accelerator, DRAM."""

import dataclasses
import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arch.boards import known_presets
from arch.config import AcceleratorConfig
from quantizer.errors import ModelError
from quantizer.search.rules import RangeRule

from .errors import UsageError


__all__ = (
    "Dram",
    "Options",
    "load_config",
)


@dataclass(frozen=True)
class Options:
    """How formats are chosen.

    Parameters
    ----------
    data_bits, weight_bits : int
        Width of a code, in bits, 2 to 16.
    first_last_bits : int or None
        Width of data and weights of the first and the last layer, in bits, where it differs.
    precision : str
        ``"dynamic"``: one fractional length a tensor; ``"static"``: one for all.
    ranges : str
        How a range is chosen: ``"max"``, ``"percentile:P"``, ``"l1"``, ``"l2"``, ``"entropy"`` or
        ``"mode"``.
    per_channel : bool
        Whether each output channel's weights have their own fractional length.
    weight_rounding : str
        ``"nearest"``, or by the error of the layer's output: ``"feedback"`` or ``"learned"``.
    refine : bool
        Whether to refine the formats by the error of the network's output.
    fit_ends : bool
        Whether the host shifts and scales input and output so that they fit their codes; the
        float network stays the same. Not with static precision.
    absorb : bool
        Whether what channels always have before a Relu is moved into the biases that follow; the
        float network stays the same on the calibration images.
    equalize : bool
        Whether channels are multiplied by factors first, so that they suit one format; the
        float network stays the same.
    correct : bool
        Whether biases take away what rounding adds to a channel on average.
    widths : mapping from str to int, or path
        Widths of single layers, by name of a layer, or of a convolution followed by
        ``.weights``; or a JSON or TOML file of them.
    fuse_add : bool
        Whether convolutions do the Adds behind them, with one rounding for both.
    formats : path or None
        JSON file of formats that override those chosen.
    calibration : int
        Most images to calibrate with.

    Raises
    ------
    UsageError
        If a value breaks its rule.
    """

    data_bits: int = 8
    weight_bits: int = 8
    first_last_bits: int | None = None
    precision: str = "dynamic"
    ranges: str = "l2"
    per_channel: bool = False
    weight_rounding: str = "feedback"
    refine: bool = False
    fit_ends: bool = True
    absorb: bool = False
    equalize: bool = True
    correct: bool = True
    widths: Mapping[str, int] | str | Path = dataclasses.field(default_factory=dict)
    fuse_add: bool = True
    formats: str | Path | None = None
    calibration: int = 100

    def __post_init__(self) -> None:
        """Check every rule."""
        for name in ("data_bits", "weight_bits", "first_last_bits"):
            bits = getattr(self, name)
            if bits is not None and not 2 <= bits <= 16:
                raise UsageError(f"--{name.replace('_', '-')} must be in 2..16 bits, not {bits}")
        if self.precision not in ("dynamic", "static"):
            raise UsageError(f"--precision must be dynamic or static, not {self.precision!r}")
        if self.refine and self.precision == "static":
            raise UsageError("--refine cannot be used with --precision static, which has one "
                             "fractional length for all data")
        if self.weight_rounding not in ("nearest", "feedback", "learned"):
            raise UsageError("--weight-rounding must be nearest, feedback or learned, not "
                             f"{self.weight_rounding!r}")
        try:
            RangeRule.parse(self.ranges)
        except ModelError as error:
            raise UsageError(f"--{error}") from error
        if self.calibration < 1:
            raise UsageError(f"--calibration must be at least 1 image, not {self.calibration}")

    def to_json(self) -> dict[str, Any]:
        """Return all parameters as plain values."""
        values = dataclasses.asdict(self)
        if isinstance(self.widths, Path):
            values["widths"] = str(self.widths)
        values["formats"] = None if self.formats is None else str(self.formats)
        return values

    def __str__(self) -> str:
        """Return the short name used in summaries, such as ``8/8 dynamic``."""
        ends = "" if self.first_last_bits is None else f" ({self.first_last_bits} first, last)"
        return f"{self.data_bits}/{self.weight_bits} {self.precision}{ends}"


@dataclass(frozen=True)
class Dram:
    """Timing of the DRAM, for the model and for the simulation.

    Parameters
    ----------
    latency : int
        Cycles from a request to its first beat.
    bytes_per_cycle : float or None
        Bandwidth; that of the bus when left out.

    Raises
    ------
    UsageError
        If a value breaks its rule.
    """

    latency: int = 30
    bytes_per_cycle: float | None = None

    def __post_init__(self) -> None:
        """Check every rule."""
        if not 1 <= self.latency <= 1_000_000:
            raise UsageError(
                f"--dram-latency must be in 1..1000000 cycles, not {self.latency}")
        if self.bytes_per_cycle is not None and not 0.01 <= self.bytes_per_cycle <= 1024:
            raise UsageError(
                f"--dram-bytes-per-cycle must be in 0.01..1024, not {self.bytes_per_cycle:g}")

    def bandwidth(self, config: AcceleratorConfig) -> float:
        """Return the bytes per cycle in use with a config."""
        return config.dram_width if self.bytes_per_cycle is None else self.bytes_per_cycle


def load_config(name: str | Path | AcceleratorConfig) -> AcceleratorConfig:
    """Return a preset, of a size or of a board, or the config of a JSON file.

    Parameters
    ----------
    name : str, path or AcceleratorConfig
        Name of a preset, a JSON file of parameters, or a config itself.

    Returns
    -------
    AcceleratorConfig
        The config.

    Raises
    ------
    UsageError
        If there is no such preset or file, or a parameter breaks its rule.
    """
    if isinstance(name, AcceleratorConfig):
        return name
    presets = known_presets()
    if str(name) in presets:
        return presets[str(name)]
    path = Path(name)
    if not path.is_file():
        near = difflib.get_close_matches(str(name), presets, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise UsageError(f"--config must be one of {', '.join(presets)}, or a JSON file, "
                         f"not {str(name)!r}{hint}")
    try:
        fields = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UsageError(f"--config {path}: not readable as JSON ({error})") from error
    if not isinstance(fields, dict):
        raise UsageError(f"--config {path}: must hold a JSON object, not {fields!r}")
    try:
        return AcceleratorConfig.from_json({"name": path.stem, **fields})
    except (ValueError, TypeError) as error:
        raise UsageError(f"--config {path}: {error}") from error
