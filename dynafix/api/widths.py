"""From a network and a budget to a width for each layer's weights."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast, get_args

from arch.config import AcceleratorConfig
from arch.formats import Format
from quantizer.errors import ModelError
from quantizer.model import Limits, QuantizedModel
from quantizer.overrides import WEIGHTS_SUFFIX, fixed_weights

from ..costs import METRICS, Measured, Metric
from ..errors import UsageError
from ..files import new_folder, write_json
from ..options import Dram, Options, load_config
from ..steps import Steps
from .compilation import DEFAULT_CONFIG
from .preparation import Prepared, prepare, search_formats


__all__ = (
    "Budget",
    "choose_widths",
)


NARROWER = (2, 3, 4, 5, 6)


@dataclass(frozen=True)
class Budget:
    """The most that a network may cost.

    Parameters
    ----------
    metric : "cycles", "bytes" or "size"
        What is limited, see :data:`dynafix.costs.METRICS`.
    amount : float
        Largest cost; a share of what the widest weights cost if ``relative``.
    relative : bool
        Whether the amount is a share.
    """

    metric: Metric
    amount: float
    relative: bool = False

    @classmethod
    def parse(cls, text: str) -> "Budget":
        """Read a budget, such as ``"bytes=70%"`` or ``"cycles=250000"``; ``UsageError`` if wrong.

        Examples
        --------
        >>> Budget.parse("size=70%")
        Budget(metric='size', amount=0.7, relative=True)
        """
        metric, _, value = text.partition("=")
        relative = value.endswith("%")
        try:
            amount = float(value.removesuffix("%").replace("_", ""))
        except ValueError:
            amount = 0.0
        if metric not in get_args(Metric) or not 0 < amount < float("inf"):
            raise UsageError(
                "--budget must be cycles=N, bytes=N or size=N, with a number or a share such as "
                f"70% of what the widest weights take, not {text!r}")
        return cls(cast(Metric, metric), amount / 100 if relative else amount, relative)

    def limit(self, widest: Measured) -> float:
        """Return the largest cost, given a network with the widest weights."""
        return self.amount * widest.cost(self.metric) if self.relative else self.amount


def choose_widths(
    model: str | Path, data: str | Path, output: str | Path, *, budget: str | Budget,
    config: str | Path | AcceleratorConfig = DEFAULT_CONFIG, dram: Dram | None = None,
    options: Options | None = None, narrower: Sequence[float] = NARROWER, images: int = 16,
    preprocess: Mapping[str, Any] | None = None, steps: Steps | None = None,
) -> dict[str, Any]:
    """Give the weights of each layer a width, for the least loss within a budget.

    Writes ``widths.json``, which ``quantize`` takes as its widths, ``pareto.csv`` and
    ``pareto.png``. Widths of data are those of the options, since no accelerator runs faster, or
    moves less, with narrower ones.

    Parameters
    ----------
    model : path
        ONNX file.
    data : path
        Images, see :func:`dynafix.data.load_data`; those of the evaluation are not used.
    output : path
        Folder for the results.
    budget : str or Budget
        The most that the network may cost.
    config : str, path or AcceleratorConfig
        Accelerator that costs are those of.
    dram : Dram, optional
        Timing of its DRAM.
    options : Options, optional
        How formats are chosen; ``weight_bits`` is the largest width.
    narrower : sequence of int
        Widths to choose from besides it, in bits; floats that are whole numbers will do.
    images : int
        How many calibration images to measure losses with.
    preprocess : mapping, optional
        ``resize``, ``crop``, ``color``, ``mean``, ``std``, over the model's metadata.
    steps : Steps, optional
        Is told the progress.

    Returns
    -------
    dict
        ``budget``, ``widths`` (those of the options, too), ``chosen`` and ``points``: costs and
        losses, of ``uniform`` and of ``mixed`` widths.

    Raises
    ------
    ValueError
        If the model, the images, an option or the folder cannot be used, or the budget cannot be
        met; says the smallest that can.
    """
    from compiler import DramTiming

    from ..mixed import Mixer
    from ..pareto import write_csv, write_picture

    config, options, steps = load_config(config), options or Options(), steps or Steps()
    wanted = Budget.parse(budget) if isinstance(budget, str) else budget
    dram = dram or Dram()
    _check(options, config, narrower, images)
    prepared = prepare(model, data, options, preprocess or {}, steps)
    with new_folder(output) as folder:
        steps.line("import", prepared.describe())
        calibration = prepared.calibration(steps)
        limits = Limits(acc_bits=config.acc_bits)
        fixed = fixed_weights(prepared.overrides or {})
        networks = _networks(prepared, calibration, narrower, limits, fixed, steps)
        timing = DramTiming(latency=dram.latency, bytes_per_cycle=dram.bandwidth(config))
        mixer = Mixer(
            networks, config, timing, calibration[:images], steps,
            limits=limits if options.fuse_add else None, fixed=fixed)
        limit = wanted.limit(mixer.uniform[0])
        try:
            front, chosen = mixer.front(wanted.metric, limit)
        except ModelError as error:
            raise UsageError(f"--budget: {error}") from error
        uniform = [each.bits for each in mixer.uniform]
        points = [*mixer.uniform, *(each for each in front if each.bits not in uniform)]
        chosen = next(each for each in points if each.bits == chosen.bits)
        widths = {**cast(Mapping[str, int], prepared.options.widths), **{
            f"{name}{WEIGHTS_SUFFIX}": bits for name, bits in chosen.bits.items()
            if name not in fixed}}
        write_csv(folder / "pareto.csv", points, chosen)
        write_picture(folder / "pareto.png", points, chosen, wanted.metric, limit,
                      f"{prepared.graph.name} on {config.name}")
        write_json(folder / "widths.json", widths)
    return {
        "budget": {"metric": wanted.metric, "limit": limit, "unit": METRICS[wanted.metric]},
        "widths": widths, "chosen": _plain(chosen), "points": [_plain(each) for each in points]}


def _check(options: Options, config: AcceleratorConfig, narrower: Sequence[float],
           images: int) -> None:
    most = min(options.weight_bits, config.weight_bits)
    if options.weight_bits > config.weight_bits:
        raise UsageError(f"--weight-bits must be at most {config.weight_bits}, the width of config "
                         f"'{config.name}', not {options.weight_bits}")
    if most < 3:
        raise UsageError(f"--weight-bits must be at least 3, so that there are narrower widths to "
                         f"choose from, not {most}")
    if not narrower or not all(bits in range(2, most) for bits in narrower):
        raise UsageError(f"--narrower must be widths in 2..{most - 1} bits, "
                         f"not {', '.join(f'{bits:g}' for bits in narrower) or 'none'}")
    if options.precision != "dynamic":
        raise UsageError("--precision must be dynamic where layers have widths of their own")
    if images < 1:
        raise UsageError(f"--images must be at least 1, not {images}")


def _networks(
    prepared: Prepared, calibration: Any, narrower: Sequence[float], limits: Limits,
    fixed: Mapping[str, Format], steps: Steps,
) -> dict[int, QuantizedModel]:
    """Return the network with weights of each width, and the same formats for data."""
    from quantizer.reference import FloatReference
    from quantizer.search import Options as SearchOptions
    from quantizer.search import narrower_weights

    options = replace(prepared.options, fuse_add=False)
    widest = search_formats(replace(prepared, options=options), calibration, limits, steps)
    rounding = SearchOptions(
        data_bits=options.data_bits, first_last_bits=options.first_last_bits,
        ranges=options.ranges, per_channel=options.per_channel,
        weight_rounding=options.weight_rounding, correct=options.correct,
        widths=dict(options.widths))
    return {options.weight_bits: widest, **narrower_weights(
        widest, sorted(set(map(int, narrower)), reverse=True), calibration,
        reference=FloatReference(widest.graph), options=rounding, limits=limits,
        fixed=fixed,
        progress=lambda _, done, total: steps.progress("narrower", done, total, "layers"))}


def _plain(point: Measured) -> dict[str, Any]:
    return {**asdict(point), "snr_db": point.snr_db}
