"""From a float network and its quantizers to a quantized model, exactly or not at all."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import onnx
from numpy.typing import NDArray

from arch.formats import Format, Rounding

from ..accumulators import check_limits
from ..errors import ModelError, NodeError
from ..graph import (
    Activation,
    Conv,
    Graph,
    Node,
    Pad,
    Pool,
    PRelu,
    Resize,
    Slice,
    Softmax,
    Window,
    is_host,
)
from ..model import Limits, QuantizedModel, QuantizedSlopes, QuantizedWeights
from ..onnx_import.importer import convert
from ..onnx_import.node import OnnxNode
from ..onnx_import.reader import network_of
from ..ranges import natural_frac
from ..tables import model_table
from .plain import EXACT, Plain
from .quantizer import Quantizer
from .structure import copies_channels, quantizer_of, structured


__all__ = ("assemble",)


_MOST_BITS = 16
_WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_CLAMPS = ("Clip", "Max", "Relu")
_SLOPE_FRAC = 15
_ADVICE = "quantize it, or give the float network to 'quantize'"


def assemble(plain: Plain, file: str) -> QuantizedModel:
    """Return the quantized model that a float network and its quantizers are.

    Parameters
    ----------
    plain : Plain
        Network and quantizers.
    file : str
        Its file, for messages.

    Returns
    -------
    QuantizedModel
        Gives the results of the file, computed exactly, bit for bit.

    Raises
    ------
    ModelError
        Names the first node that cannot be kept as it is, the rule and what to do.
    """
    def refuse(node: OnnxNode, error: NodeError) -> None:
        raise error

    graph = convert(network_of(plain.model, file), refuse, kept=plain.kept)
    graph = structured(graph, plain)
    if all(is_host(node) for node in graph):
        raise ModelError(f"{file}: the network holds no operator for the accelerator")
    roundings = {quantizer.rounding for quantizer in plain.data.values()}
    if plain.input is None:
        raise ModelError(f"{file}: the network's input {graph.input!r} must be quantized before "
                         f"anything is done with it but Pad with zeros, Sub and then Mul, with a "
                         f"positive number for each channel; {_ADVICE}")
    roundings.add(plain.input.rounding)
    if len(roundings) > 1:
        raise ModelError(f"{file}: all data must be rounded alike, not by "
                         f"{' and '.join(sorted(roundings))}; {_ADVICE}")
    model = QuantizedModel(graph, {graph.input: plain.input.format}, {}, Rounding(*roundings))
    protos = {proto.name: proto for proto in plain.model.graph.node}
    for index, node in enumerate(graph.nodes):
        if node not in graph.accelerated:
            continue
        node = graph.nodes[index] = _set_format(model, node, plain, protos, file)
        if isinstance(node, Conv):
            graph.nodes[index] = _set_weights(model, node, plain.weights, protos, file)
        elif isinstance(node, PRelu):
            model.slopes[node.name] = _slopes(model, node, file)
        elif isinstance(node, Activation):
            model.tables[node.name] = model_table(model, node)
    widest = max([*(fmt.bits for fmt in model.formats.values()),
                  *(weights.bits for weights in model.weights.values())])
    try:
        check_limits(model, Limits(acc_bits=32 if widest <= 8 else 48))
    except ModelError as error:
        raise ModelError(f"{file}: {error}") from None
    return model


def _set_format(
    model: QuantizedModel, node: Node, plain: Plain, protos: Mapping[str, onnx.NodeProto],
    file: str,
) -> Node:
    """Give the result of a node its format; return the node with the bounds that are left."""
    quantizer = quantizer_of(node, plain)
    if quantizer is None and not _copies(node):
        quantizer = _of_bounds(model.graph, node, plain)
    if quantizer is None and isinstance(node, Softmax):
        # One that ends the network is followed by a copy, so that its codes are the output.
        quantizer = next((
            plain.data[reader.output] for reader in model.graph.consumers(node.output)
            if reader.output in plain.data), None)
    place = f"{file}: node {node.name!r}"
    if quantizer is None and _copies(node):
        fmt = model.formats[node.output] = model.formats[node.inputs[0]]
        if isinstance(node, Pad) and not _is_code(node.value, fmt):
            raise ModelError(
                f"{place}: pads with {node.value:g}, which must be a code of its input, in steps "
                f"of {fmt.step:g}; pad with such a number, or quantize the result alike")
        return node
    if quantizer is None and not copies_channels(node):
        name = node.output.removesuffix(EXACT)
        raise ModelError(f"{place}: its result {name!r} must be quantized before it is read; "
                         f"{_ADVICE}")
    fmt = model.formats[node.output] = (
        model.formats[node.inputs[0]] if quantizer is None else quantizer.format)
    if isinstance(node, Pool) and node.window == Window() and (
            fmt != model.formats[node.inputs[0]]):
        node = replace(node, kind="average")  # of one number: rounds it once more
    lo, hi = node.lo, node.hi
    upper = node.upper if isinstance(node, Conv) else np.zeros(0)
    for bound in (lo, hi, *upper.tolist()):
        if np.isfinite(bound) and fmt.min * fmt.step < bound < fmt.max * fmt.step and (
                bound != fmt.dequantize(fmt.quantize([bound], model.rounding))[0]):
            raise ModelError(
                f"{place}: clamps its result at {bound:g}, which is no multiple of its step "
                f"{fmt.step:g}; clip at a multiple, or use a smaller scale")
    clamped = any(name not in plain.clips and protos[name].op_type in _CLAMPS
                  for name in node.sources if name in protos)
    if lo <= fmt.min * fmt.step:
        lo = 0.0 if lo == 0 and clamped else -np.inf  # a Relu stays one
    if isinstance(node, Conv) and node.upper.size:
        if np.any(upper < fmt.max * fmt.step):
            return replace(node, lo=lo, hi=hi)
        node = replace(node, upper=np.zeros(0))
    if hi >= fmt.max * fmt.step:
        hi = np.inf
    return replace(node, lo=lo, hi=hi)


def _of_bounds(graph: Graph, node: Node, plain: Plain) -> Quantizer | None:
    """Return the quantizer behind the bounds for each channel that alone read a node's result.

    Bounds are codes of it, so that the order of bounds and rounding does not matter.
    """
    readers = graph.consumers(node.output)
    found = {quantizer_of(reader, plain) for reader in readers if copies_channels(reader)}
    return found.pop() if len(found) == 1 and all(map(copies_channels, readers)) else None


def _is_code(value: float, fmt: Format) -> bool:
    """Return whether a format holds a number exactly."""
    return bool(fmt.dequantize(fmt.quantize([value]))[0] == value)


def _copies(node: Node) -> bool:
    return isinstance(node, Slice | Resize | Pad) or (
        isinstance(node, Pool) and node.kind == "max")


def _set_weights(
    model: QuantizedModel, node: Conv, quantizers: Mapping[str, Quantizer],
    protos: Mapping[str, onnx.NodeProto], file: str,
) -> Conv:
    """Give a convolution its integers; return it with the weights and biases that they are."""
    place, quantizer = f"{file}: node {node.name!r}", _weight_quantizer(node, quantizers, protos)
    x_frac = model.formats[node.inputs[0]].frac
    if quantizer is None:
        bits, frac = _least(node.weight, place, "weights")
        # Neither the result nor an addend may have a finer step than the sums.
        others = (node.output, *node.inputs[1:])
        coarse = max(*(model.formats[name].frac - x_frac - frac for name in others), 0)
        bits, fracs = bits + coarse, np.full(len(node.weight), frac + coarse)
    else:
        bits, fracs = quantizer.bits, _channel_fracs(node, quantizer, protos, place)
    codes = np.ldexp(node.weight.astype(np.float64), fracs[:, None, None, None])
    fmt = Format(bits, 0)
    if bits > _MOST_BITS or np.any(codes != fmt.quantize(codes)):
        what = "unsigned " if quantizer is not None and not quantizer.signed else ""
        raise ModelError(
            f"{place}: {what}weights must be codes of {bits} bits, signed, in steps of "
            f"2^-{int(fracs.max())} also where what stands behind the quantizer is merged into "
            f"them; merge scalings such as BatchNormalization before quantizing")
    bias = np.ldexp(node.bias.astype(np.float64), x_frac + fracs)
    wrong = np.flatnonzero(bias != np.rint(bias))
    if len(wrong):
        channel = int(wrong[0])
        raise ModelError(
            f"{place}: bias {float(node.bias[channel])!r} of output channel {channel} must be a "
            f"multiple of 2^-{int(x_frac + fracs[channel])}, the step of data times weights; "
            f"quantize biases to 32 bits with that scale")
    model.weights[node.name] = QuantizedWeights(
        codes.astype(np.int64), bits, fracs.astype(np.int64), bias.astype(np.int64))
    return node


def _weight_quantizer(
    node: Conv, quantizers: Mapping[str, Quantizer], protos: Mapping[str, onnx.NodeProto]
) -> Quantizer | None:
    """Return the quantizer of a convolution's weights, ``None`` where they have none."""
    proto = _weighted(node, protos)
    return None if proto is None else next(
        (quantizers[name] for name in proto.input[:2] if name in quantizers), None)


def _weighted(node: Conv, protos: Mapping[str, onnx.NodeProto]) -> onnx.NodeProto | None:
    return next((protos[name] for name in node.sources
                 if name in protos and protos[name].op_type in _WEIGHTED), None)


def _channel_fracs(
    node: Conv, quantizer: Quantizer, protos: Mapping[str, onnx.NodeProto], place: str
) -> NDArray[np.int64]:
    """Return the fractional length of each output channel, (k,)."""
    found = np.array(quantizer.fracs, np.int64)
    if len(found) == 1:
        return np.full(len(node.weight), found[0])
    proto = _weighted(node, protos)
    assert proto is not None
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in proto.attribute}
    axis = {
        "Conv": 0, "ConvTranspose": 1, "Gemm": 0 if attributes.get("transB") else 1, "MatMul": -1,
    }[proto.op_type]
    axes = 2 if proto.op_type in ("Gemm", "MatMul") else 4
    if quantizer.axis % axes != axis % axes or len(found) != len(node.weight):
        raise ModelError(
            f"{place}: the {len(found)} scales of its weights must be those of its "
            f"{len(node.weight)} output channels, along axis {axis % axes}, not along axis "
            f"{quantizer.axis % axes}; quantize weights per tensor or per output channel")
    return found


def _least(values: NDArray[np.floating], place: str, what: str) -> tuple[int, int]:
    """Return the least width and fractional length of codes that are exactly ``values``."""
    flat = np.abs(values.astype(np.float64)).reshape(-1)
    flat = flat[flat > 0]
    if not len(flat):
        return 2, 0
    mantissa, exponent = np.frexp(flat)
    whole = np.ldexp(mantissa, 53).astype(np.int64)
    zeros = np.log2((whole & -whole).astype(np.float64)).astype(np.int64)
    frac = int((53 - zeros - exponent).max())
    largest = int(np.ldexp(flat.max(), frac)) if exponent.max() + frac < 62 else 1 << 62
    bits = max(2, largest.bit_length() + 1)
    if bits > _MOST_BITS:
        raise ModelError(f"{place}: its {what} must be quantized, to at most {_MOST_BITS} bits; "
                         f"{_ADVICE}")
    return bits, frac


def _slopes(model: QuantizedModel, node: PRelu, file: str) -> QuantizedSlopes:
    place = f"{file}: node {node.name!r}"
    needed, frac = _least(node.slope, place, "slopes")
    bits = 8 if model.formats[node.output].bits <= 8 else 16
    codes = np.ldexp(node.slope.astype(np.float64), max(frac, 0))
    if frac > _SLOPE_FRAC or np.any(codes != Format(bits, 0).quantize(codes)):
        raise ModelError(
            f"{place}: slopes must be codes of {bits} bits in steps of at least 2^-{_SLOPE_FRAC}, "
            f"not {needed} bits in steps of 2^-{frac}; quantize them so")
    # Finer steps where products would have to be shifted to the left, as far as the codes allow.
    formats = model.formats[node.inputs[0]], model.formats[node.output]
    finest = min(int(natural_frac(node.slope.min(), node.slope.max(), bits)), _SLOPE_FRAC)
    frac = max(frac, 0, min(finest, formats[1].frac - formats[0].frac))
    codes = np.ldexp(node.slope.astype(np.float64), frac)
    return QuantizedSlopes(codes.astype(np.int64), bits, frac)
