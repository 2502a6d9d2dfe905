"""Networks made by hand or at random, and the slow, obviously right way to run them."""

import itertools

import numpy as np

from arch.formats import Format, Rounding, divide_round, requantize
from quantizer.graph import (
    Activation,
    Add,
    Concat,
    Conv,
    ConvTranspose,
    Graph,
    Mul,
    Pad,
    Pool,
    PRelu,
    Resize,
    Slice,
    Softmax,
    Window,
)
from quantizer.model import Limits, QuantizedModel
from quantizer.search import quantize
from quantizer.tables import activation, look_up, model_table
from tests.quantizer.slow_moves import slow_pad, slow_resize, slow_transposed


def make_graph(shape, nodes, *, name="net", input_dims=None):
    """Return a graph of ``nodes`` in order; shapes are worked out here."""
    shapes = {"x": shape}
    for node in nodes:
        c, h, w = shapes[node.inputs[0]]
        if isinstance(node, ConvTranspose):
            shapes[node.output] = (len(node.weight), *node.output_size(h, w))
        elif isinstance(node, Resize):
            shapes[node.output] = (c, *resized(node, h, w))
        elif isinstance(node, Pad):
            top, left, bottom, right = node.pads
            shapes[node.output] = (c, h + top + bottom, w + left + right)
        elif isinstance(node, Conv):
            shapes[node.output] = (len(node.weight), *node.window.output_size(h, w))
        elif isinstance(node, Pool):
            shapes[node.output] = (c, *node.window.output_size(h, w))
        elif isinstance(node, Concat):
            shapes[node.output] = (sum(shapes[name][0] for name in node.inputs), h, w)
        elif isinstance(node, Slice):
            shapes[node.output] = (c - node.start, h, w)
        else:
            shapes[node.output] = (c, h, w)
    output = nodes[-1].output
    return Graph(name, "x", output, list(nodes), shapes, input_dims or shape, shapes[output])


def resized(node, height, width):
    """Return the largest size that a Resize can have."""
    return tuple(
        ((size - 1 - offset) // step + 1) * repeat for size, offset, step, repeat in zip(
            (height, width), node.offsets, node.steps, node.repeats, strict=True))


def conv_transpose(
    rng, name, source, channels, kernels, window, *, groups=1, output_padding=(0, 0), relu=False,
):
    """Return a transposed convolution with random weights and biases."""
    plain = conv(rng, name, source, channels, kernels, groups=groups, window=window, relu=relu)
    return ConvTranspose(**vars(plain), output_padding=output_padding)


def conv(rng, name, source, channels, kernels, *, groups=1, window=None, relu=False, scale=1.0):
    """Return a convolution with random weights and biases."""
    window = window or Window()
    shape = (kernels, channels // groups, *window.kernel)
    fan_in = np.prod(shape[1:])
    return Conv(
        name, (source,), f"{name}_out", lo=0.0 if relu else -np.inf, window=window, groups=groups,
        weight=(rng.standard_normal(shape) * scale / np.sqrt(fan_in)).astype(np.float32),
        bias=rng.standard_normal(kernels) * 0.2 * scale)


def small_graph(seed=0, *, softmax=False):
    """Return a network with every operator: residual, pools of both kinds, classifier."""
    rng = np.random.default_rng(seed)
    nodes = [
        conv(rng, "conv1", "x", 3, 6, window=Window((3, 3), (1, 1), (1, 1, 1, 1)), relu=True),
        Pool("pool1", ("conv1_out",), "pool1_out", window=Window((3, 3), (2, 2), (0, 0, 1, 1))),
        conv(rng, "conv2", "pool1_out", 6, 6, groups=6,
             window=Window((3, 3), (1, 1), (1, 1, 1, 1))),
        Add("add", ("conv2_out", "pool1_out"), "add_out", lo=0.0),
        Pool("mean", ("add_out",), "mean_out", kind="average",
             window=Window((3, 3), (2, 2), (1, 1, 1, 1))),
        conv(rng, "fc", "mean_out", 6, 5, window=Window((2, 2))),
    ]
    if softmax:
        nodes.append(Softmax("softmax", ("fc_out",), "probabilities"))
    return make_graph((3, 8, 8), nodes)


def inputs_for(graph, count=6, seed=1, *, lowest=-1.0):
    rng = np.random.default_rng(seed)
    return rng.uniform(lowest, 1.0, (count, *graph.input_dims)).astype(np.float32)


def _window_positions(window, y, x):
    for r, s in itertools.product(range(window.kernel[0]), range(window.kernel[1])):
        yield r, s, (y * window.strides[0] - window.pads[0] + r * window.dilations[0],
                     x * window.strides[1] - window.pads[1] + s * window.dilations[1])


def _slow_conv(x, node, weight, bias):
    n, _, height, width = x.shape
    lines, columns = node.window.output_size(height, width)
    per_group, kernels = weight.shape[1], len(weight)
    total = np.zeros((n, kernels, lines, columns), weight.dtype)
    for k, y, column in np.ndindex(kernels, lines, columns):
        first = k // (kernels // node.groups) * per_group
        total[:, k, y, column] = bias[k]
        for r, s, (iy, ix) in _window_positions(node.window, y, column):
            if 0 <= iy < height and 0 <= ix < width:
                total[:, k, y, column] += (
                    x[:, first:first + per_group, iy, ix] * weight[k, :, r, s]).sum(1)
    return total


def _slow_pool(x, node, reduce):
    """Call ``reduce(values (n, c, positions), counted positions)`` for each window."""
    n, channels, height, width = x.shape
    _, _, bottom, right = node.window.pads
    top, left = node.window.pads[:2]
    result = np.zeros((n, channels, *node.window.output_size(height, width)), x.dtype)
    for y, column in np.ndindex(*result.shape[2:]):
        inside, counted = [], 0
        for _, _, (iy, ix) in _window_positions(node.window, y, column):
            real = 0 <= iy < height and 0 <= ix < width
            padding = (-top <= iy < height + bottom - node.ceil_pads[0]
                       and -left <= ix < width + right - node.ceil_pads[1])
            counted += real or (node.count_pad and padding)
            if real:
                inside.append(x[:, :, iy, ix])
        result[:, :, y, column] = reduce(np.stack(inside, -1), counted)
    return result


def slow_execute(model, codes):
    """Run a model in int64, position by position."""
    values = {model.graph.input: np.asarray(codes, np.int64)}
    for node in model.graph.accelerated:
        lo, hi = model.bounds(node)
        x = values[node.inputs[0]]
        if isinstance(node, Resize):
            y = np.clip(slow_resize(node, x, model.graph.shapes[node.output]), lo, hi)
        elif isinstance(node, Pad):
            y = np.clip(slow_pad(node, x, model.fill(node)), lo, hi)
        elif isinstance(node, Conv):
            weights = model.weights[node.name]
            slow = slow_transposed if isinstance(node, ConvTranspose) else _slow_conv
            operands = (x, node) if slow is _slow_conv else (node, x)
            acc = slow(*operands, weights.codes, weights.bias)
            hi = np.reshape(model.channel_bounds(node)[1], (-1, 1, 1))
            if node.addend is not None:
                acc = acc + (values[node.addend] << model.addend_shifts(node)[:, None, None])
            y = requantize(acc, model.shifts(node)[:, None, None], lo, hi, model.rounding)
        elif isinstance(node, Add):
            lefts, right = model.vector_shifts(node)
            acc = sum(values[name] << left for name, left in zip(node.inputs, lefts, strict=True))
            y = requantize(acc, right, lo, hi, model.rounding)
        elif isinstance(node, Mul):
            acc = x * values[node.inputs[1]]
            y = requantize(acc, model.product_shift(node), lo, hi, model.rounding)
        elif isinstance(node, PRelu):
            slopes = model.slopes[node.name]
            acc = np.where(x >= 0, x << slopes.frac, x * slopes.codes[:, None, None])
            y = requantize(acc, model.product_shift(node), lo, hi, model.rounding)
        elif isinstance(node, Activation):
            bits = model.formats[node.inputs[0]].bits
            y = look_up(model.tables[node.name], x, bits, (lo, hi), model.rounding)
        elif isinstance(node, Concat):
            y = np.concatenate([
                requantize(values[name] << left, right, lo, hi, model.rounding)
                for name, (left, right) in zip(
                    node.inputs, model.concat_shifts(node), strict=True)], axis=1)
        elif isinstance(node, Slice):
            y = x[:, node.start:node.start + model.graph.shapes[node.output][0]]
        elif node.kind == "max":
            y = np.clip(_slow_pool(x, node, lambda v, _: v.max(-1)), lo, hi)
        else:
            (left,), right = model.vector_shifts(node)
            y = _slow_pool(x, node, lambda v, count, left=left, right=right: divide_round(
                v.sum(-1) << left, count, right, model.rounding))
            y = np.clip(y, lo, hi)
        values[node.output] = y
    return values


class SlowReference:
    """The float network in float64, position by position; stands in for onnxruntime."""

    def __init__(self, graph):
        self.graph = graph
        self.calls = 0

    def tensors(self, inputs, names=None):
        self.calls += 1
        graph = self.graph
        values = {graph.input: graph.take(np.asarray(inputs)).astype(np.float64)}
        for node in graph.accelerated:
            x = values[node.inputs[0]]
            if isinstance(node, ConvTranspose):
                y = slow_transposed(node, x, node.weight.astype(np.float64), node.bias)
            elif isinstance(node, Resize):
                y = slow_resize(node, x, graph.shapes[node.output])
            elif isinstance(node, Pad):
                y = slow_pad(node, x, node.value)
            elif isinstance(node, Conv):
                y = _slow_conv(x, node, node.weight.astype(np.float64), node.bias)
                if node.addend is not None:
                    y = y + values[node.addend]
                if node.upper.size:
                    y = np.minimum(y, node.upper[:, None, None])
            elif isinstance(node, Add):
                y = sum(values[name] for name in node.inputs)
            elif isinstance(node, Mul):
                y = x * values[node.inputs[1]]
            elif isinstance(node, PRelu):
                y = np.where(x >= 0, x, x * node.slope[:, None, None])
            elif isinstance(node, Activation):
                y = activation(node, x)
            elif isinstance(node, Concat):
                y = np.concatenate([values[name] for name in node.inputs], axis=1)
            elif isinstance(node, Slice):
                y = x[:, node.start:node.start + graph.shapes[node.output][0]]
            elif node.kind == "max":
                y = _slow_pool(x, node, lambda v, _: v.max(-1))
            else:
                y = _slow_pool(x, node, lambda v, count: v.sum(-1) / count)
            values[node.output] = np.clip(y, node.lo, node.hi)
        return {
            name: value.astype(np.float32) for name, value in values.items()
            if names is None or name in names}


def quantized(graph, calibration=None, **options):
    """Return ``graph`` quantized with the slow reference."""
    if calibration is None:
        calibration = inputs_for(graph)
    return quantize(graph, calibration, reference=SlowReference(graph), **options)


def random_model(rng, graph, *, data_bits=8, weight_bits=8, per_channel=True, rounding="half_even",
                 limits=None):
    """Return a model with random codes and random formats that stay inside the limits."""
    from quantizer.accumulators import check_limits
    from quantizer.model import QuantizedSlopes, QuantizedWeights
    limits = limits or Limits(acc_bits=48)
    model = QuantizedModel(graph, {}, {}, Rounding(rounding))
    model.formats["x"] = Format(data_bits, int(rng.integers(-3, 9)), bool(rng.integers(2)))
    half = 1 << (weight_bits - 1)
    for node in graph.accelerated:
        fracs = [model.formats[name].frac for name in node.inputs]
        fmt = Format(data_bits, fracs[0], bool(rng.integers(2)))
        if isinstance(node, Conv):
            kernels = len(node.weight)
            frac = np.full(kernels, rng.integers(
                max(4, weight_bits - 3), weight_bits + 3, kernels if per_channel else 1))
            model.weights[node.name] = QuantizedWeights(
                rng.integers(-half, half, node.weight.shape), weight_bits, frac,
                rng.integers(-(1 << 12), 1 << 12, kernels))
            if node.addend is not None:  # its shift must be in range
                least = max(0, fracs[1] - fracs[0])
                frac[:] = rng.integers(least, least + 9, kernels if per_channel else 1)
            fmt = Format(data_bits, fracs[0] + int(rng.integers(-4, 4)), fmt.signed)
            if node.addend is not None:
                fmt = Format(data_bits, min(fmt.frac, fracs[0] + int(frac.min())), fmt.signed)
        elif isinstance(node, Concat):
            fmt = Format(data_bits, min(fracs) + int(rng.integers(-4, 7)), fmt.signed)
        elif isinstance(node, Slice | Resize | Pad):
            fmt = model.formats[node.inputs[0]]
        elif isinstance(node, Mul):
            fmt = Format(data_bits, sum(fracs) - int(rng.integers(0, data_bits + 2)), fmt.signed)
        elif isinstance(node, PRelu):
            bits = 8 if data_bits <= 8 else 16
            half_slope = 1 << (bits - 1)
            slopes = QuantizedSlopes(
                rng.integers(-half_slope, half_slope, len(node.slope)), bits,
                int(rng.integers(0, 16)))
            model.slopes[node.name] = slopes
            fmt = Format(
                data_bits, fracs[0] + slopes.frac - int(rng.integers(0, slopes.frac + 2)),
                fmt.signed)
        elif isinstance(node, Activation):
            fmt = Format(data_bits, int(rng.integers(-2, data_bits + 2)), fmt.signed)
        elif isinstance(node, Add) or node.kind == "average":
            fmt = Format(data_bits, max(fracs) + int(rng.integers(-4, 4)), fmt.signed)
        else:
            fmt = model.formats[node.inputs[0]]
        model.formats[node.output] = fmt
        if isinstance(node, Activation):
            model.tables[node.name] = model_table(model, node)
    check_limits(model, limits)
    return model


def random_codes(rng, model, count):
    fmt = model.formats[model.graph.input]
    return rng.integers(fmt.min, fmt.max + 1, (count, *model.graph.shapes[model.graph.input]))
