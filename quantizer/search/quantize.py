"""Entry of the search: from a float network and calibration images to a quantized model."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from arch.formats import Format, Rounding

from ..accumulators import check_limits
from ..errors import ModelError
from ..graph import Graph
from ..graph_json import ARRAYS
from ..model import Limits, QuantizedModel
from ..overrides import check_overrides, fixed_weights
from ..ranges import Reference, check_calibration
from ..widths import check_widths
from .context import Context
from .correct import correct_biases
from .data import search_data
from .fuse_add import fuse_adds
from .options import Options, Precision, Progress, WeightRounding
from .prepared import prepared
from .refine import refine as refine_search
from .static import search_static


__all__ = ("quantize",)


def _silent(stage: str, done: int, total: int) -> None:
    pass


def _float_reference(graph: Graph) -> Reference:
    from ..reference import FloatReference
    reference: Reference = FloatReference(graph)
    return reference


def _check_numbers(graph: Graph) -> None:
    """Refuse weights, biases and slopes that are no numbers."""
    for node in graph:
        for part in ARRAYS.get(type(node).__name__, ()):
            if not np.isfinite(getattr(node, part)).all():
                raise ModelError(
                    f"node '{node.name}': {part} must be finite, and holds NaN or infinity; "
                    "check how the network was exported")


def quantize(
    graph: Graph,
    calibration: ArrayLike,
    *,
    data_bits: int = 8,
    weight_bits: int = 8,
    first_last_bits: int | None = None,
    precision: Precision = "dynamic",
    ranges: str = "l2",
    per_channel: bool = False,
    weight_rounding: WeightRounding = "nearest",
    refine: bool = False,
    widths: Mapping[str, int] | None = None,
    fit_ends: bool = False,
    absorb: bool = False,
    equalize: bool = False,
    correct: bool = False,
    fuse_add: bool = True,
    limits: Limits | None = None,
    overrides: Mapping[str, Format] | None = None,
    progress: Progress | None = None,
    preprocess: Mapping[str, Any] | None = None,
    rounding: Rounding = Rounding.HALF_EVEN,
    reference: Reference | None = None,
) -> QuantizedModel:
    """Choose a dynamic fixed-point format for everything in a network.

    Codes are unsigned where nothing can be negative: the input if no calibration image is, and
    every result of a Relu or Sigmoid.

    Parameters
    ----------
    graph : Graph
        The float network.
    calibration : float, (n, *graph.input_dims)
        Preprocessed images, at least one.
    data_bits, weight_bits : int
        Widths of the codes, 2 to 16.
    first_last_bits : int, optional
        Width of the weights of the first and the last convolution, of the input and of the
        network's result (before Softmax), in place of the other two.
    precision : "dynamic" or "static"
        A fractional length for each tensor, or one for all data and one for all weights.
    ranges : str
        What makes a fractional length the best: ``"max"``, ``"percentile:P"``, ``"l1"``, ``"l2"``,
        ``"entropy"`` or ``"mode"``, see :mod:`quantizer.search.rules`.
    per_channel : bool
        A fractional length for each output channel of the weights instead of one a layer.
    weight_rounding : "nearest", "feedback" or "learned"
        Round each weight for itself, halves to even; or one after the other, so that the output
        of the layer stays near the float network's; or go on from there until no weight can go
        up or down without a larger error. The last two choose the fractional length of the
        weights and the bias by the same error.
    refine : bool
        Afterwards move fractional lengths of data, and of weights rounded to nearest, as long as
        the network's output comes nearer to the float network; what that gained is in
        ``provenance["refined"]``.
    widths : mapping from name to int, optional
        Widths of single layers in place of the others: by name of a layer or tensor that of its
        codes, by name of a convolution with ``.weights`` after it that of its weights.
    fit_ends : bool
        Let the host shift and scale each channel of the input before it rounds it, and the result
        of the network (before Softmax) as a whole, so that they fit their codes; the float network
        stays the same. Not with static precision, whose one step is in the units of the file.
    absorb : bool
        Subtract first from channels what they always have before a Relu, and add it to the biases
        of the convolutions that read them; on the calibration images the float network stays the
        same.
    equalize : bool
        Multiply channels by factors first, so that they suit the format that they share;
        the float network stays the same.
    correct : bool
        Add to each bias what the mean of its channel lacks against the float network.
    fuse_add : bool
        Let convolutions do the Adds behind them where shifters and accumulators allow it. All
        other formats are those of the network without that, see
        :func:`~quantizer.search.fuse_add.fuse_adds`; formats are refined, and biases corrected,
        with the roundings that are left.
    limits : Limits, optional
        What the hardware can align and hold; by default that of 8-bit hardware, with 48-bit
        accumulators when a code is wider than 8 bits.
    overrides : mapping from name to Format, optional
        Formats to take as they are, by name of a tensor, or of a node with ``.weights`` after it.
    progress : callable, optional
        Called with a stage (``"weights"``, ``"data"``, ``"rounding"``, ``"refine"``), what is
        done, and the total.
    preprocess : mapping, optional
        Stored with the model.
    rounding : Rounding
        Rounding rule of the data.
    reference : Reference, optional
        The float network's results; onnxruntime's on ``graph`` by default.

    Returns
    -------
    QuantizedModel
        Integers and formats, all within the limits.

    Raises
    ------
    ModelError
        If the calibration images, an option or an override is wrong, or the limits cannot be
        kept; names what and why.
    """
    overrides = check_overrides(graph, overrides or {})
    options = Options(
        data_bits, weight_bits, first_last_bits, precision, ranges, per_channel, weight_rounding,
        refine, check_widths(graph, widths or {}, overrides), fit_ends, absorb,
        equalize, correct, fuse_add)
    _check_numbers(graph)
    images = check_calibration(calibration, graph)
    widest = max([options.widest, *(fmt.bits for fmt in overrides.values())])
    limits = limits or Limits(acc_bits=32 if widest <= 8 else 48)
    progress = progress or _silent
    model = QuantizedModel(graph, {}, {}, Rounding(rounding), dict(preprocess or {}))
    context = prepared(Context(
        model, images, reference or _float_reference(graph), options, limits, overrides))
    model = context.model
    if options.precision == "static":
        search_static(context, progress)
    else:
        fracs = {}
        for index, node in enumerate(context.convs):
            progress("weights", index, len(context.convs))
            fracs[node.name] = context.choose_weights(node)
        progress("weights", len(context.convs), len(context.convs))
        search_data(context, fracs, progress)
    fused = _fuse(context) if options.fuse_add else {}
    if options.refine:
        refine_search(context, progress)
        if options.correct:
            _correct(context)
    model = context.model
    model.provenance = {
        "options": asdict(options),
        "limits": asdict(limits),
        "calibration_images": len(images),
        "ranges": {name: list(bounds) for name, bounds in context.ranges.items()},
        "refined": context.refined,
        "chosen": {name: _plain(entry) for name, entry in context.log.items()},
        "numpy": np.__version__,
        **fused,
    }
    return model


def _fuse(context: Context) -> dict[str, Any]:
    """Let convolutions do Adds, and return which ones, as :func:`fuse_adds` has it.

    There are fewer roundings then, and biases are corrected for those that are left.
    """
    static = context.options.precision == "static"
    fixed = {node.name for node in context.convs} if static else fixed_weights(context.overrides)
    context.model = fuse_adds(context.model, context.limits, fixed=fixed)
    found = context.model.provenance
    if context.options.correct and found["fused_adds"]:
        _correct(context)
    return found


def _correct(context: Context) -> None:
    """Correct all biases, for the roundings that there are now."""
    correct_biases(context.model, context.calibration, context.means)
    check_limits(context.model, context.limits)


def _plain(entry: dict[str, Any]) -> dict[str, Any]:
    """Return an entry of the log as JSON has it: keys are strings."""
    if "errors" in entry:
        return {**entry, "errors": {str(key): value for key, value in entry["errors"].items()}}
    return entry
