"""A small network with every kind of layer, its integers drawn at random."""

import numpy as np

from arch.config import AcceleratorConfig
from arch.formats import Format
from compiler import compile_model
from quantizer.graph import Add, Conv, Graph, Pool, Window
from quantizer.model import QuantizedModel, QuantizedWeights


__all__ = ("small_model", "small_program")


def small_model(seed=7, widths=(8, 8, 8), *, data_bits=8):
    """Return conv, conv, add, max pool, average pool, full-size conv over a 3 x 9 x 8 input.

    ``widths`` are the bits of the weights of the convolutions.
    """
    rng = np.random.default_rng(seed)
    shapes = {
        "x": (3, 9, 8), "a": (6, 9, 8), "b": (6, 9, 8), "s": (6, 9, 8), "m": (6, 4, 4),
        "p": (6, 2, 2), "y": (10, 1, 1),
    }
    same, half = Window((3, 3), pads=(1, 1, 1, 1)), Window((2, 2), (2, 2))
    nodes = [
        Conv("conv1", ("x",), "a", lo=0.0, window=same, weight=np.zeros((6, 3, 3, 3))),
        Conv("conv2", ("a",), "b", window=same, weight=np.zeros((6, 6, 3, 3))),
        Add("add", ("a", "b"), "s", lo=0.0),
        Pool("max", ("s",), "m", kind="max", window=half),
        Pool("average", ("m",), "p", kind="average", window=Window((3, 3), (2, 2), (0, 0, 1, 1))),
        Conv("classify", ("p",), "y", window=Window((2, 2)), weight=np.zeros((10, 6, 2, 2))),
    ]
    graph = Graph("small", "x", "y", nodes, shapes, (3, 9, 8), (10,))
    more = data_bits - 8
    formats = {name: Format(data_bits, 4 + more) for name in shapes}
    formats["a"] = formats["s"] = formats["m"] = Format(data_bits, 5 + more, signed=False)

    def integers(largest, more, shape):
        return rng.integers(-largest << more, (largest << more) + 1, shape)

    weights = {
        node.name: QuantizedWeights(
            codes=integers(60, max(bits, 8) - 8, node.weight.shape) >> max(0, 8 - bits),
            bits=bits, frac=np.full(node.weight.shape[0], bits),
            bias=integers(900, max(bits, 8) - 8 + more, len(node.weight)))
        for node, bits in zip(
            (node for node in nodes if isinstance(node, Conv)), widths, strict=True)}
    return QuantizedModel(graph, formats, weights)


def small_program(config: AcceleratorConfig, seed=7, widths=(8, 8, 8), *, data_bits=8):
    """Return the model, its program, and input codes of two images."""
    model = small_model(seed, widths, data_bits=data_bits)
    half = 1 << (data_bits - 1)
    codes = np.random.default_rng(seed + 1).integers(-half, half, (2, 3, 9, 8))
    return model, compile_model(model, config), codes


def assert_same(program, run, output, rows):
    """Compare a run with the functional simulator, but for lanes that no weights are for.

    These hold what they did before, and the memories start differently.
    """
    layout = program.output_layout
    assert np.array_equal(layout.unpack(run.output), layout.unpack(output))
    expected = program.tensors_from_rows(rows)
    got = program.tensors_from_rows(run.rows)
    assert got.keys() == expected.keys()
    for name, values in expected.items():
        assert np.array_equal(got[name], values), name
