"""Why a format was chosen, and what its neighbours would do."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from arch.formats import Format

from .accumulators import check_limits
from .errors import ModelError
from .execute import execute, output_name, quantize_input
from .graph import Activation, Conv, Node
from .integers import find_node
from .model import Limits, QuantizedModel
from .overrides import WEIGHTS_SUFFIX
from .ranges import (
    Reference,
    batches,
    check_calibration,
    snr_db,
)
from .search.rules import RangeRule
from .search.variants import with_tensor, with_weights


__all__ = (
    "Candidate",
    "Explanation",
    "explain",
)


_NEIGHBOURS = (-1, 0, 1)


@dataclass(frozen=True)
class Candidate:
    """What one fractional length does.

    Parameters
    ----------
    frac : int
        Fractional length; of weights with several, how far all of them are moved.
    chosen : bool
        Whether the model has it.
    clipped : float
        Share of the values that saturate, 0 to 1.
    snr_db : float
        Signal-to-noise ratio of tensor or weights against float.
    network_snr_db : float
        Signal-to-noise ratio of the network's output, before Softmax, against float.
    obstacle : str
        Why the hardware cannot run it; empty if it can. The ratios are NaN then.
    """

    frac: int
    chosen: bool
    clipped: float
    snr_db: float
    network_snr_db: float
    obstacle: str = ""


@dataclass(frozen=True)
class Explanation:
    """Why a tensor, or the weights of a convolution, have their format.

    Parameters
    ----------
    layer : str
        Node that writes the tensor, or the network's input.
    operator : str
        Kind of the node, or of its activation.
    name : str
        Tensor, or the node's name and ``.weights``.
    format : Format
        Format chosen; the coarsest of weights with several.
    fracs : (int, int)
        Smallest and largest fractional length; the same but for weights per channel.
    range : (float, float)
        Smallest and largest float value, on the calibration images.
    chosen_by : str
        What decided.
    candidates : tuple of Candidate
        One fractional length less, the chosen one, one more.
    weights : Explanation, optional
        The same for the weights.
    """

    layer: str
    operator: str
    name: str
    format: Format
    fracs: tuple[int, int]
    range: tuple[float, float]
    chosen_by: str
    candidates: tuple[Candidate, ...]
    weights: "Explanation | None" = None

    @property
    def override(self) -> dict[str, dict[str, Any]]:
        """The format as an entry of a file of overrides, whose key is the name."""
        fields = {"bits": self.format.bits, "frac": self.format.frac, "signed": self.format.signed}
        return {self.name: fields}

    def to_json(self) -> dict[str, Any]:
        """Return all fields as plain values."""
        return dataclasses.asdict(self)


class _Meter:
    """Signal and noise of a tensor, summed over batches."""

    def __init__(self) -> None:
        self._signal = self._noise = 0.0

    def add(self, exact: NDArray[Any], value: NDArray[Any]) -> None:
        wide = exact.astype(np.float64)
        self._signal += float(np.square(wide).sum())
        self._noise += float(np.square(wide - value).sum())

    @property
    def snr_db(self) -> float:
        return snr_db([self._signal**0.5, 0.0], [self._signal**0.5, self._noise**0.5])


def _limits(model: QuantizedModel) -> Limits:
    known = model.provenance.get("limits")
    return Limits(**known) if known else Limits(acc_bits=48)


def _chosen_by(model: QuantizedModel, name: str) -> str:
    entry = model.provenance.get("chosen", {}).get(name)
    if entry is None:
        return "unknown: the model does not say"
    if "width" in entry:
        entry = {**entry, "rule": f"{entry['rule']}, {entry['width']} bits as given"}
    if "errors" not in entry:
        return str(entry["rule"])
    rule = RangeRule.parse(model.provenance["options"]["ranges"])
    tried = [int(frac) for frac in entry["errors"]]
    if len(tried) == 1:
        return f"{entry['rule']}: {rule.reason}"
    steps = " steps from the natural one" if name.endswith(WEIGHTS_SUFFIX) else ""
    return (f"{entry['rule']}: {rule.reason} of fractional lengths "
            f"{min(tried)}..{max(tried)}{steps if entry['rule'].startswith('search') else ''}")


def _clipped(values: NDArray[Any], fmt: Format) -> float:
    rounded = np.rint(np.ldexp(values.astype(np.float64), fmt.frac))
    return float(np.mean((rounded > fmt.max) | (rounded < fmt.min)))


def _obstacle(model: QuantizedModel) -> str:
    try:
        check_limits(model, _limits(model))
    except ModelError as error:
        return str(error)
    return ""


class _Judge:
    """Runs variants of a model on the calibration images, beside the float network."""

    def __init__(
        self, model: QuantizedModel, images: NDArray[np.float32], reference: Reference,
        progress: Callable[[str, int, int], object] | None,
    ) -> None:
        self._graph = model.graph
        self._images = images
        self._reference = reference
        self._progress = progress or (lambda stage, done, total: None)
        self._output = output_name(model.graph)

    def measure(
        self, tensor: str, variants: list[QuantizedModel]
    ) -> tuple[tuple[float, float], list[tuple[float, float, float]]]:
        """Return the range, and (clipped, SNR, network SNR) of ``tensor`` in each variant."""
        names = {tensor, self._output}
        own, network = [_Meter() for _ in variants], [_Meter() for _ in variants]
        clipped = np.zeros(len(variants))
        lo, hi = np.inf, -np.inf
        for piece in batches(self._graph, len(self._images)):
            images = self._images[piece]
            self._progress("explain", piece.start, len(self._images))
            exact = self._reference.tensors(images, names)
            wanted = self._graph.real(self._output, exact[self._output])
            lo, hi = min(lo, float(exact[tensor].min())), max(hi, float(exact[tensor].max()))
            for index, variant in enumerate(variants):
                codes = execute(variant, quantize_input(variant, images), names=names)
                own[index].add(
                    exact[tensor], variant.formats[tensor].dequantize(codes[tensor]))
                network[index].add(wanted, variant.real(self._output, codes[self._output]))
                clipped[index] += len(images) * _clipped(exact[tensor], variant.formats[tensor])
        self._progress("explain", len(self._images), len(self._images))
        return (lo, hi), [
            (float(share) / len(self._images), a.snr_db, b.snr_db)
            for share, a, b in zip(clipped, own, network, strict=True)]


def _candidates(
    judge: _Judge, tensor: str, variants: dict[int, QuantizedModel], chosen: int
) -> tuple[tuple[float, float], dict[int, Candidate]]:
    """Measure the variants that the hardware can run; keys are fractional lengths."""
    obstacles = {frac: _obstacle(variant) for frac, variant in variants.items()}
    possible = [frac for frac, obstacle in obstacles.items() if not obstacle]
    seen, figures = judge.measure(tensor, [variants[frac] for frac in possible])
    measured = dict(zip(possible, figures, strict=True))
    nothing = (np.nan, np.nan, np.nan)
    return seen, {
        frac: Candidate(frac, frac == chosen, *measured.get(frac, nothing), obstacles[frac])
        for frac in variants}


def _explain_weights(model: QuantizedModel, judge: _Judge, node: Conv) -> Explanation:
    weights = model.weights[node.name]
    name = node.name + WEIGHTS_SUFFIX
    least, most = int(weights.frac.min()), int(weights.frac.max())
    variants = {
        delta: model if delta == 0 else with_weights(model, node, delta)
        for delta in _NEIGHBOURS}
    _, found = _candidates(judge, node.output, variants, 0)
    candidates = []
    for delta, candidate in found.items():
        codes = variants[delta].weights[node.name]
        fracs = codes.frac[:, None, None, None]
        exact = node.weight.astype(np.float64)
        value = np.ldexp(codes.codes.astype(np.float64), -fracs)
        candidates.append(replace(
            candidate, frac=least + delta if least == most else delta,
            clipped=_clipped(np.ldexp(exact, fracs), Format(weights.bits, 0)),
            snr_db=snr_db(exact, value)))
    return Explanation(
        node.name, "Weights", name, Format(weights.bits, least), (least, most),
        (float(node.weight.min()), float(node.weight.max())), _chosen_by(model, name),
        tuple(candidates))


def _operator(node: Node | None) -> str:
    if node is None:
        return "Input"
    return node.kind if isinstance(node, Activation) else type(node).__name__


def explain(
    model: QuantizedModel, layer: str, calibration: ArrayLike, *,
    reference: Reference | None = None,
    progress: Callable[[str, int, int], object] | None = None,
) -> Explanation:
    """Say why a layer has its format, and what one bit more or less would do.

    Parameters
    ----------
    model : QuantizedModel
        The network.
    layer : str
        Name of a node, of its output, or of the network's input.
    calibration : float, (n, *input_dims)
        Preprocessed images, best those of the search.
    reference : Reference, optional
        The float network's results; onnxruntime's by default.
    progress : callable, optional
        Called with ``"explain"``, the images done and all images.

    Returns
    -------
    Explanation
        Range, choice and its neighbours; for a convolution those of its weights too.

    Raises
    ------
    ModelError
        If there is no such layer, or the images are wrong.
    """
    graph = model.graph
    images = check_calibration(calibration, graph)
    node = None if layer == graph.input else find_node(model, layer)
    tensor = graph.input if node is None else node.output
    if reference is None:
        from .reference import FloatReference
        reference = FloatReference(graph)
    judge = _Judge(model, images, reference, progress)
    fmt = model.formats[tensor]
    variants = {
        fmt.frac + delta: model if delta == 0 else with_tensor(model, tensor, fmt.frac + delta)
        for delta in _NEIGHBOURS}
    seen, candidates = _candidates(judge, tensor, variants, fmt.frac)
    return Explanation(
        graph.input if node is None else node.name,
        _operator(node), tensor, fmt, (fmt.frac, fmt.frac),
        seen, _chosen_by(model, tensor), tuple(candidates.values()),
        _explain_weights(model, judge, node) if isinstance(node, Conv) else None)
