"""Quantized networks made of random integers, for tests of compiler, simulator and hardware."""

import numpy as np

from arch.formats import Format, Rounding
from quantizer.graph import (
    Activation,
    Add,
    Concat,
    Conv,
    ConvTranspose,
    Graph,
    Lrn,
    Mul,
    Node,
    Pad,
    Pool,
    PRelu,
    Resize,
    Slice,
    Softmax,
    Window,
)
from quantizer.model import Limits, QuantizedModel, QuantizedSlopes, QuantizedWeights
from quantizer.search.fuse_add import fuse_adds
from quantizer.tables import model_table


class NetworkBuilder:
    """Builds a model layer by layer; every method returns the name of the tensor it makes.

    Formats are chosen so that results use most of their range and clip now and then. ``bits`` and
    ``weight_bits`` are the widths where a layer is given no others.
    """

    def __init__(self, rng, shape, *, signed=True, frac=4, bits=8, weight_bits=8):
        self.rng = rng
        self.bits, self.weight_bits = bits, weight_bits
        self.nodes: list[Node] = []
        self.shapes = {"input": tuple(shape)}
        self.formats = {"input": Format(bits, frac, signed)}
        self.weights = {}
        self.slopes = {}
        self.narrower = (0, 0, 3, 6)

    def _add_node(self, node, shape, fmt):
        self.nodes.append(node)
        self.shapes[node.output] = tuple(int(size) for size in shape)
        self.formats[node.output] = fmt
        return node.output

    def _name(self, kind):
        return f"{kind}{len(self.nodes)}"

    def _clamp(self, relu, fmt):
        """Return lo, hi for ``relu``: None, "relu", or "clip" at a random value."""
        if relu is None:
            return {}
        hi = np.inf if relu == "relu" else float(self.rng.integers(1, fmt.max + 1)) * fmt.step
        return {"lo": 0.0, "hi": hi}

    def _channel_clamps(self, relu, fmt, channels):
        """Return lo, hi and ``upper``; of every other convolution that clips by channel."""
        clamp = self._clamp(relu, fmt)
        if relu == "clip" and self.rng.integers(2):
            clamp["upper"] = np.ldexp(clamp["hi"], -self.rng.integers(0, 5, channels))
            clamp["hi"] = float(clamp["upper"].max())
        return clamp

    def conv(self, source, channels, kernel=(3, 3), *, strides=(1, 1), pads=(0, 0, 0, 0),
             dilations=(1, 1), groups=1, relu="relu", signed=None, bits=None,
             weight_bits=None, per_channel=False):
        bits, weight_bits = bits or self.bits, weight_bits or self.weight_bits
        name = self._name("conv")
        c, h, w = self.shapes[source]
        window = Window(tuple(kernel), tuple(strides), tuple(pads), tuple(dilations))
        height, width = window.output_size(h, w)
        limit = 1 << (weight_bits - 1)
        shape = (channels, c // groups, *kernel)
        codes = self.rng.integers(-limit, limit, shape)
        frac = np.full(channels, int(self.rng.integers(2, 10)) + self.weight_bits - 8)
        if per_channel:
            frac = frac + self.rng.integers(0, 3, channels)
        fmt = self.formats[source]
        spread = np.sqrt(codes[0].size) * limit / 2 * max(-fmt.min, fmt.max) / 2
        shift = max(0, round(float(np.log2(spread / (1 << (bits - 2))))))
        bias = self.rng.integers(-int(spread) - 1, int(spread) + 2, channels)
        out_signed = relu is None if signed is None else signed
        out = Format(bits, int(fmt.frac + frac.min() - shift), out_signed)
        node = Conv(name, (source,), f"{name}_out", window=window, groups=groups,
                    weight=codes.astype(np.float32), bias=bias.astype(np.float64),
                    **self._channel_clamps(relu, out, channels))
        self.weights[name] = QuantizedWeights(codes, weight_bits, frac, bias)
        return self._add_node(node, (channels, height, width), out)

    def fc(self, source, channels, **options):
        _, h, w = self.shapes[source]
        return self.conv(source, channels, (h, w), **{"relu": None, **options})

    def max_pool(self, source, kernel=(2, 2), *, strides=(2, 2), pads=(0, 0, 0, 0),
                 dilations=(1, 1), relu=None):
        name = self._name("maxpool")
        c, h, w = self.shapes[source]
        window = Window(tuple(kernel), tuple(strides), tuple(pads), tuple(dilations))
        fmt = self.formats[source]
        node = Pool(name, (source,), f"{name}_out", kind="max", window=window,
                    **self._clamp(relu, fmt))
        return self._add_node(node, (c, *window.output_size(h, w)), fmt)

    def clamp(self, source, relu="relu"):
        return self.max_pool(source, (1, 1), strides=(1, 1), relu=relu)

    def average_pool(self, source, kernel=(2, 2), *, strides=(2, 2), pads=(0, 0, 0, 0),
                     count_pad=False, ceil_pads=(0, 0), up=0, relu=None):
        """``up`` is added to the fractional length."""
        name = self._name("avgpool")
        c, h, w = self.shapes[source]
        window = Window(tuple(kernel), tuple(strides), tuple(pads))
        old = self.formats[source]
        fmt = Format(old.bits, old.frac + up, old.signed)
        node = Pool(name, (source,), f"{name}_out", kind="average", window=window,
                    count_pad=count_pad, ceil_pads=tuple(ceil_pads), **self._clamp(relu, fmt))
        return self._add_node(node, (c, *window.output_size(h, w)), fmt)

    def lrn(self, source, size=5, **numbers):
        """A normalization of numbers near one; the format of the result is that of the source."""
        name, fmt = self._name("lrn"), self.formats[source]
        node = Lrn(name, (source,), f"{name}_out", size=size,
                   **{"alpha": 0.1 * 4.0 ** (fmt.frac - fmt.bits), **numbers})
        return self._add_node(node, self.shapes[source], fmt)

    def softmax(self, source):
        """A Softmax between layers, which clips now and then."""
        name = self._name("softmax")
        node = Softmax(name, (source,), f"{name}_out")
        return self._add_node(
            node, self.shapes[source], Format(self.bits, self.bits + 1, signed=False))

    def add(self, a, b, *, relu="relu", signed=None):
        name = self._name("add")
        fracs = self.formats[a].frac, self.formats[b].frac
        out_signed = relu is None if signed is None else signed
        fmt = Format(self.bits, min(fracs) - 1 + int(self.rng.integers(0, 2)), out_signed)
        node = Add(name, (a, b), f"{name}_out", **self._clamp(relu, fmt))
        return self._add_node(node, self.shapes[a], fmt)

    def mul(self, a, b, *, relu=None, signed=True):
        name = self._name("mul")
        fmts = self.formats[a], self.formats[b]
        fmt = Format(
            self.bits, sum(f.frac for f in fmts) - self.bits + int(self.rng.integers(1, 4)),
            signed)
        node = Mul(name, (a, b), f"{name}_out", **self._clamp(relu, fmt))
        return self._add_node(node, self.shapes[a], fmt)

    def prelu(self, source, *, same=False, frac=None, relu=None):
        """``same``: one slope for all channels, as LeakyRelu has."""
        name = self._name("prelu")
        frac = self.bits - 1 if frac is None else frac
        limit = 1 << (self.bits - 1)
        codes = self.rng.integers(-limit, limit, self.shapes[source][0])
        if same:
            codes[:] = codes[0]
        fmt = Format(self.bits, self.formats[source].frac - int(self.rng.integers(0, 2)), True)
        node = PRelu(name, (source,), f"{name}_out", slope=codes / (1 << frac),
                     **self._clamp(relu, fmt))
        self.slopes[name] = QuantizedSlopes(codes, self.bits, frac)
        return self._add_node(node, self.shapes[source], fmt)

    def activation(self, source, kind, *, alpha=1 / 6, beta=0.5, signed=None, relu=None):
        """Return the function of a map, whose format changes so that it is neither 0 nor 1."""
        name = self._name(kind)
        old = self.formats[source]
        self.formats[source] = Format(old.bits, old.bits - 4, old.signed)
        unit = kind in ("sigmoid", "hard_sigmoid", "tanh")
        positive = kind in ("sigmoid", "hard_sigmoid")
        signed = not positive if signed is None else signed
        fmt = Format(self.bits, self.bits - (1 if unit else 4), signed)
        node = Activation(name, (source,), f"{name}_out", kind=kind, alpha=alpha, beta=beta,
                          **self._clamp(relu, fmt))
        return self._add_node(node, self.shapes[source], fmt)

    def global_pool(self, source):
        return self.average_pool(
            source, self.shapes[source][1:], strides=(1, 1), up=2)

    def excite(self, source, kind="hard_sigmoid"):
        """Return a squeeze-and-excitation block."""
        channels = self.shapes[source][0]
        x = self.global_pool(source)
        x = self.conv(x, max(1, channels // 4), (1, 1))
        x = self.conv(x, channels, (1, 1), relu=None)
        return self.mul(source, self.activation(x, kind))

    def concat(self, *sources, spread=0):
        """``spread`` is how far the format of the result may be from those of the inputs."""
        name = self._name("concat")
        formats = [self.formats[source] for source in sources]
        _, h, w = self.shapes[sources[0]]
        channels = sum(self.shapes[source][0] for source in sources)
        frac = min(fmt.frac for fmt in formats) + int(self.rng.integers(-spread, spread + 1))
        node = Concat(name, tuple(sources), f"{name}_out")
        fmt = Format(8, frac, any(fmt.signed for fmt in formats))
        return self._add_node(node, (channels, h, w), fmt)

    def slice(self, source, start, stop):
        name = self._name("slice")
        _, h, w = self.shapes[source]
        node = Slice(name, (source,), f"{name}_out", start=start)
        return self._add_node(node, (stop - start, h, w), self.formats[source])

    def conv_transpose(self, source, channels, kernel=(4, 4), *, strides=(2, 2),
                       output_padding=(0, 0), **options):
        """Make it from the convolution with the same integers."""
        _, h, w = self.shapes[source]
        room = (8 * kernel[0], 8 * kernel[1])  # for a convolution of any dilation
        self.shapes[source] = (self.shapes[source][0], *room)
        self.conv(source, channels, kernel, strides=strides, **options)
        self.shapes[source] = (self.shapes[source][0], h, w)
        node = ConvTranspose(**vars(self.nodes.pop()), output_padding=tuple(output_padding))
        shape = (channels, *node.output_size(h, w))
        return self._add_node(node, shape, self.formats[node.output])

    def resize(self, source, repeats=(2, 2), *, steps=(1, 1), offsets=(0, 0), size=None,
               relu=None):
        name = self._name("resize")
        c, *shape = self.shapes[source]
        most = [((n - 1 - offset) // step + 1) * repeat for n, offset, step, repeat in zip(
            shape, offsets, steps, repeats, strict=True)]
        fmt = self.formats[source]
        node = Resize(name, (source,), f"{name}_out", repeats=tuple(repeats), steps=tuple(steps),
                      offsets=tuple(offsets), **self._clamp(relu, fmt))
        return self._add_node(node, (c, *(size or most)), fmt)

    def pad(self, source, pads=(1, 1, 1, 1), *, code=0, mode="constant", relu=None):
        """``code`` is the code of the value."""
        name = self._name("pad")
        c, h, w = self.shapes[source]
        top, left, bottom, right = pads
        fmt = self.formats[source]
        node = Pad(name, (source,), f"{name}_out", pads=tuple(pads), value=code * fmt.step,
                   mode=mode, **self._clamp(relu, fmt))
        return self._add_node(node, (c, h + top + bottom, w + left + right), fmt)

    def same_format(self, *tensors):
        """Give tensors made by convolutions the format of the first."""
        for name in tensors[1:]:
            self.formats[name] = self.formats[tensors[0]]

    def model(
        self, output=None, *, name="network", rounding=Rounding.HALF_EVEN, fuse_add=False,
    ):
        output = output or self.nodes[-1].output
        graph = Graph(name, "input", output, self.nodes, self.shapes, self.shapes["input"],
                      self.shapes[output])
        model = QuantizedModel(
            graph, self.formats, self.weights, rounding, slopes=self.slopes)
        for node in self.nodes:
            if isinstance(node, Activation):
                model.tables[node.name] = model_table(model, node)
        limits = Limits(acc_bits=32 if self.bits <= 8 else 48)
        return fuse_adds(model, limits) if fuse_add else model


def random_codes(rng, model):
    """Return input codes (1, c, h, w), extremes included."""
    fmt = model.formats[model.graph.input]
    shape = (1, *model.graph.shapes[model.graph.input])
    codes = rng.integers(fmt.min, fmt.max + 1, shape)
    extreme = rng.random(shape)
    codes[extreme < 0.05] = fmt.min
    codes[extreme > 0.95] = fmt.max
    return codes


def _random_conv(rng, builder, source, channels):
    c, h, w = builder.shapes[source]
    kernel = [int(rng.integers(1, 1 + min(5, size + 2))) for size in (h, w)]
    dilations = [
        int(rng.integers(1, 3)) if size >= 2 * (k - 1) + 1 else 1
        for k, size in zip(kernel, (h, w))]
    extents = [(k - 1) * d for k, d in zip(kernel, dilations)]
    pads = [int(rng.integers(0, 3)) for _ in range(4)]
    for axis, size in enumerate((h, w)):
        short = extents[axis] + 1 - size - pads[axis] - pads[axis + 2]
        pads[axis] += max(0, short)
    strides = [int(rng.integers(1, 4)) for _ in range(2)]
    groups = int(rng.choice([g for g in (1, 1, 1, 2, 3, c) if c % g == 0]))
    channels = -(-channels // groups) * groups
    return builder.conv(
        source, channels, kernel, strides=strides, pads=pads, dilations=dilations,
        groups=groups, relu=rng.choice([None, "relu", "clip"]),
        signed=bool(rng.integers(2)), bits=builder.bits + int(rng.choice([0, 0, 0, -2, -4])),
        weight_bits=builder.weight_bits - int(rng.choice(builder.narrower)),
        per_channel=bool(rng.integers(2)))


def _random_pool(rng, builder, source):
    _, h, w = builder.shapes[source]
    kernel = [int(rng.integers(1, 1 + min(4, size))) for size in (h, w)]
    pads = [int(rng.integers(0, k)) for k in kernel * 2]
    strides = [int(rng.integers(1, 4)) for _ in range(2)]
    relu = rng.choice([None, None, "relu"])
    if rng.integers(2):
        return builder.max_pool(source, kernel, strides=strides, pads=pads, relu=relu)
    return builder.average_pool(
        source, kernel, strides=strides, pads=pads, count_pad=bool(rng.integers(2)),
        up=int(rng.integers(0, 3)), relu=relu)


def _random_join(rng, builder, source, channels):
    """Join convolutions, pools and the source itself, in whole rows or not."""
    parts = []
    for _ in range(int(rng.integers(2, 5))):
        kind = rng.choice(["conv", "conv", "conv", "pool", "same", "again"])
        relu = rng.choice([None, "relu"])
        if kind == "conv":
            count = int(rng.choice([4, 8, 16, channels]))
            parts.append(builder.conv(source, count, (1, 1), relu=relu))
        elif kind == "pool":
            parts.append(builder.max_pool(
                source, (3, 3), strides=(1, 1), pads=(1, 1, 1, 1), relu=relu))
        elif kind == "again" and parts:
            parts.append(parts[int(rng.integers(len(parts)))])
        else:
            parts.append(source)
    if rng.integers(2):
        made = [name for name in parts if name.startswith("conv")]
        shift = {name: builder.formats[name].frac for name in made}
        for name in made:
            if all(part == name or not part.startswith("maxpool") for part in parts):
                builder.formats[name] = Format(8, min(shift.values()), True)
    lowest = min(builder.formats[name].frac for name in parts)
    if max(builder.formats[name].frac for name in parts) - lowest > 20:
        return parts[0]
    joined = builder.concat(*parts, spread=int(rng.integers(0, 2)) * 3)
    if rng.integers(2):
        return joined
    if rng.integers(2):
        other = builder.conv(source, 8, (1, 1), relu=None)
        builder.same_format(joined, other)
        return builder.concat(joined, other)
    return builder.conv(joined, channels, (1, 1))


def _random_elementwise(rng, builder, source):
    """Return a product, slopes or a table, of two maps or of a map and a channel vector."""
    channels = builder.shapes[source][0]
    kind = rng.choice(["mul", "vector", "vector", "excite", "prelu", "table"])
    if kind == "excite":
        return builder.excite(source, kind=str(rng.choice(["sigmoid", "hard_sigmoid"])))
    if kind == "prelu":
        return builder.prelu(
            source, same=bool(rng.integers(2)), frac=int(rng.integers(builder.bits)))
    if kind == "vector":
        vector = builder.conv(
            builder.global_pool(source), channels, (1, 1), relu=rng.choice([None, "relu"]))
        operator = builder.mul if rng.integers(2) else builder.add
        return operator(source, vector, relu=rng.choice([None, "relu"]))
    other = builder.conv(source, channels, (1, 1), relu=rng.choice([None, "relu"]))
    if kind == "mul":
        return builder.mul(source, other)
    function = str(rng.choice(["sigmoid", "tanh", "hard_sigmoid", "hard_swish", "silu"]))
    return builder.activation(other, function)


def random_model(rng, *, shape=None, layers=4, max_channels=20, max_size=12, bits=8,
                 weight_bits=8, narrower=(0, 0, 3, 6), elementwise=False):
    """Return a network of random layers over a map of random shape.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of everything random.
    shape : (int, int, int), optional
        Shape of the input; random when left out.
    layers : int
        Layers, one or two more for a sum or a classifier.
    max_channels, max_size : int
        Largest number of channels, and of lines and columns.
    bits, weight_bits : int
        Widths of most codes.
    elementwise : bool
        Whether every other layer is a product, has slopes, or is a table.
    narrower : sequence of int
        How many bits fewer the weights of a layer may have, each as likely as the others.
    """
    if shape is None:
        shape = (int(rng.integers(1, max_channels + 1)),
                 *(int(rng.integers(1, max_size + 1)) for _ in range(2)))
    builder = NetworkBuilder(
        rng, shape, signed=bool(rng.integers(2)), bits=bits, weight_bits=weight_bits)
    builder.narrower = narrower
    tensor = "input"
    for _ in range(layers):
        if elementwise and rng.integers(2):
            tensor = _random_elementwise(rng, builder, tensor)
            continue
        kind = rng.choice(["conv", "conv", "pool", "residual", "clamp", "join", "slice"])
        channels = int(rng.integers(1, max_channels + 1))
        if kind == "conv":
            tensor = _random_conv(rng, builder, tensor, channels)
        elif kind == "pool":
            tensor = _random_pool(rng, builder, tensor)
        elif kind == "clamp":
            tensor = builder.clamp(tensor, relu=rng.choice([None, "relu", "clip"]))
        elif kind == "slice":
            start, stop = sorted(rng.choice(builder.shapes[tensor][0] + 1, 2, replace=False))
            start = int(start) // 4 * 4 if rng.integers(2) else int(start)
            tensor = builder.slice(tensor, start, int(stop))
        elif kind == "join":
            tensor = _random_join(rng, builder, tensor, channels)
        else:
            branch = builder.conv(
                tensor, builder.shapes[tensor][0], (3, 3), pads=(1, 1, 1, 1),
                relu=rng.choice([None, "relu"]))
            tensor = builder.add(branch, tensor, relu=rng.choice([None, "relu"]))
    if rng.integers(2):
        tensor = builder.fc(tensor, int(rng.integers(1, max_channels + 1)))
    return builder.model(tensor, fuse_add=bool(rng.integers(2)))
