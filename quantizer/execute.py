"""Integer execution of a quantized model in numpy: the reference of everything below it."""

from collections.abc import Collection, Iterable, Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .accumulators import code_bounds
from .convolution import Convolution, with_addend
from .errors import ModelError
from .graph import (
    Activation,
    Add,
    Concat,
    Conv,
    ConvTranspose,
    Graph,
    Mul,
    Node,
    Pad,
    Pool,
    PRelu,
    Resize,
    Slice,
    Softmax,
    is_host,
)
from .host import host_values
from .kernels import (
    add_tiles,
    average_tiles,
    concat_tiles,
    max_pool,
    mul_tiles,
    prelu_tiles,
)
from .model import ActivationTable, QuantizedModel
from .moves import pad, resize, transposed_tiles
from .parallel import in_threads
from .tables import look_up
from .tiles import Tile, code_type, pieces, rescale


__all__ = (
    "Maps",
    "Prepared",
    "accumulate",
    "activate",
    "check_inputs",
    "execute",
    "execute_node",
    "forget",
    "input_maps",
    "output_name",
    "prepare",
    "probabilities",
    "quantize_input",
    "run",
    "to_outputs",
)


Maps = dict[str, NDArray[np.integer]]
Prepared = dict[str, Convolution]

_BATCH_SIZE = 1 << 23  # codes of the largest map that a thread of run() works on at once


def check_inputs(
    inputs: ArrayLike, graph: Graph, what: str = "Inputs"
) -> NDArray[np.float32]:
    """Check float inputs and return them as float32.

    Parameters
    ----------
    inputs : float, (n, *graph.input_dims)
        Preprocessed images.
    graph : Graph
        The network.
    what : str
        What the messages call the inputs.

    Returns
    -------
    float32, (n, *graph.input_dims)
        The same numbers.

    Raises
    ------
    ModelError
        If the shape or the type is another one, or a number is not finite.
    """
    try:
        values = np.asarray(inputs)
    except ValueError as error:
        raise ModelError(f"{what} must all have the same shape: {error}") from error
    if values.dtype.kind not in "fiu":
        raise ModelError(f"{what} must be numbers, not {values.dtype}")
    if values.ndim == 0 or values.shape[1:] != graph.input_dims:
        raise ModelError(
            f"{what} must have shape (n, {', '.join(map(str, graph.input_dims))}), as "
            f"'{graph.name}' takes them, not {values.shape}")
    values = values.astype(np.float32, copy=False)
    finite = np.isfinite(values)
    if not finite.all():
        index = int(np.argwhere(~finite)[0][0])
        raise ModelError(
            f"{what} must be finite: number {index} holds NaN or infinity; check the images and "
            "the preprocessing")
    return values


def quantize_input(model: QuantizedModel, inputs: ArrayLike) -> NDArray[np.int32]:
    """Return the (n, c, h, w) codes of float inputs (n, *input_dims), saturating."""
    maps = model.graph.take(check_inputs(inputs, model.graph))
    codes = np.empty(maps.shape, np.int32)
    for index, values in enumerate(maps):
        codes[index] = model.formats[model.graph.input].quantize(values, model.rounding)
    return codes


def prepare(model: QuantizedModel, nodes: Iterable[Node]) -> Prepared:
    """Return the convolutions among ``nodes``, by name, ready for several calls."""
    return {
        node.name: Convolution(
            node, model.weights[node.name], model.formats[node.inputs[0]].frac,
            code_bounds(model, node.inputs[0]))
        for node in nodes if isinstance(node, Conv) and not isinstance(node, ConvTranspose)}


def accumulate(
    model: QuantizedModel, node: Node, maps: Maps, prepared: Prepared | None = None
) -> Iterator[Tile]:
    """Yield the accumulators of a node; the format of its output need not be known.

    Parameters
    ----------
    model : QuantizedModel
        Formats of the node's inputs, and its weights or slopes.
    node : Node
        Convolution, Add, Mul, PRelu, Concat, average pooling, or a step of the host.
    maps : dict from tensor name to (n, h, w, c) integers
        Codes of the node's inputs.
    prepared : dict from node name to Convolution, optional
        What :func:`prepare` returned for the node.

    Yields
    ------
    Tile
        Exact sums; real numbers from the host.
    """
    inputs = [maps[name] for name in node.inputs]
    fracs = [model.formats[name].frac for name in node.inputs]
    if isinstance(node, ConvTranspose):
        bounds = code_bounds(model, node.inputs[0])
        yield from transposed_tiles(
            inputs[0], node, model.weights[node.name], fracs[0], bounds)
    elif isinstance(node, Conv):
        ready = prepare(model, [node]) if prepared is None else prepared
        tiles = ready[node.name].tiles(inputs[0])
        if node.addend is not None:
            tiles = with_addend(tiles, inputs[1], model.addend_shifts(node))
        yield from tiles
    elif isinstance(node, Add):
        yield from add_tiles(inputs, fracs)
    elif isinstance(node, Mul):
        yield from mul_tiles(inputs, fracs)
    elif isinstance(node, PRelu):
        yield from prelu_tiles(inputs[0], model.slopes[node.name], fracs[0])
    elif isinstance(node, Concat):
        yield from concat_tiles(inputs, fracs)
    elif is_host(node):
        for n, image in enumerate(inputs[0]):
            values = host_values(node, image[None], model.formats[node.inputs[0]])
            yield Tile(slice(n, n + 1), slice(None), values, 0, real=True)
    else:
        assert isinstance(node, Pool), node
        yield from average_tiles(inputs[0], node, fracs[0])


def activate(
    model: QuantizedModel, node: Activation, table: ActivationTable, x: NDArray[np.integer],
    bounds: tuple[int, int],
) -> Iterator[tuple[slice, slice, NDArray[np.int64]]]:
    """Yield images, lines and the codes there (n, h, w, c) of an activation of codes ``x``.

    Parameters
    ----------
    model : QuantizedModel
        Format of the node's input.
    node : Activation
        The function.
    table : ActivationTable
        Its integers.
    x : int, (n, h, w, c)
        Codes of the input.
    bounds : (int, int)
        Bounds of the result.
    """
    bits = model.formats[node.inputs[0]].bits
    for images, rows in pieces(x, 32):
        yield images, rows, look_up(table, x[images, rows], bits, bounds, model.rounding)


def execute_node(
    model: QuantizedModel, node: Node, maps: Maps, prepared: Prepared | None = None
) -> NDArray[np.integer]:
    """Return the codes of a node's output, (n, h, w, c), in their smallest integer type.

    Parameters are those of :func:`accumulate`.
    """
    lo, hi = model.bounds(node)
    if isinstance(node, Pool) and node.kind == "max":
        return max_pool(maps[node.inputs[0]], node, lo, hi)
    fmt = model.formats[node.output]
    channels, height, width = model.graph.shapes[node.output]
    if isinstance(node, Slice):
        return maps[node.inputs[0]][..., node.start:node.start + channels]
    if isinstance(node, Resize):
        taken: NDArray[np.integer] = resize(maps[node.inputs[0]], node, (height, width))
        return taken.clip(lo, hi)
    if isinstance(node, Pad):
        padded: NDArray[np.integer] = pad(maps[node.inputs[0]], node, model.fill(node))
        return padded.clip(lo, hi)
    count = len(maps[node.inputs[0]])
    result = np.empty((count, height, width, channels), code_type(fmt))
    if isinstance(node, Activation):
        table = model.tables[node.name]
        for images, lines, codes in activate(
                model, node, table, maps[node.inputs[0]], (lo, hi)):
            result[images, lines] = codes
        return result
    lower, upper = model.channel_bounds(node)
    for tile in accumulate(model, node, maps, prepared):
        result[tile.images, tile.lines] = rescale(tile, fmt.frac, lower, upper, model.rounding)
    return result


def forget(graph: Graph, index: int, maps: Maps) -> None:
    """Drop the maps that no node after the ``index``-th accelerated one reads."""
    later = {name for node in graph.accelerated[index + 1:] for name in node.inputs}
    for name in set(maps) - later:
        del maps[name]


def input_maps(model: QuantizedModel, codes: ArrayLike) -> NDArray[np.integer]:
    """Check input codes (n, c, h, w) and return them as (n, h, w, c), in their smallest type.

    Raises
    ------
    ModelError
        If the codes have another shape or do not fit the input's format.
    """
    graph, values = model.graph, np.asarray(codes)
    fmt, shape = model.formats[graph.input], graph.shapes[graph.input]
    if values.dtype.kind not in "iu" or values.ndim != 4 or values.shape[1:] != shape:
        raise ModelError(
            f"{graph.name}: input codes must be integers of shape (n, "
            f"{', '.join(map(str, shape))}), not {values.dtype} {values.shape}")
    if values.size and not fmt.min <= values.min() <= values.max() <= fmt.max:
        raise ModelError(
            f"{graph.name}: input codes must be in {fmt.min}..{fmt.max}, "
            f"not {values.min()}..{values.max()}")
    return np.ascontiguousarray(values.transpose(0, 2, 3, 1), code_type(fmt))


def output_name(graph: Graph) -> str:
    """Return the tensor that the accelerator hands to the host."""
    producer = graph.producer(graph.output)
    return producer.inputs[0] if isinstance(producer, Softmax) else graph.output


def execute(
    model: QuantizedModel, codes: ArrayLike, *, names: Collection[str] | None = None,
    prepared: Prepared | None = None,
) -> dict[str, NDArray[np.int32]]:
    """Run the network in integers, bit for bit as the accelerator does.

    Parameters
    ----------
    model : QuantizedModel
        The network.
    codes : int, (n, c, h, w)
        Input codes, such as :func:`quantize_input` gives.
    names : collection of str, optional
        Tensors to return; all of them by default. Others are dropped as soon as no node needs
        them.
    prepared : dict from node name to Convolution, optional
        What :func:`prepare` returned for all nodes: for calls with the same model.

    Returns
    -------
    dict from tensor name to int32, (n, c, h, w)
        Codes of the input and of every tensor that the accelerator computes.

    Raises
    ------
    ModelError
        If the codes have another shape or do not fit the input's format.
    """
    graph = model.graph
    maps: Maps = {graph.input: input_maps(model, codes)}
    results: dict[str, NDArray[np.int32]] = {}

    def keep(name: str) -> None:
        if names is None or name in names:
            results[name] = maps[name].transpose(0, 3, 1, 2).astype(np.int32, order="C")

    keep(graph.input)
    for index, node in enumerate(graph.accelerated):
        maps[node.output] = execute_node(model, node, maps, prepared)
        keep(node.output)
        forget(graph, index, maps)
    return results


def _softmax(values: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(values - values.max(1, keepdims=True))
    return np.asarray(powers / powers.sum(1, keepdims=True))


def to_outputs(
    model: QuantizedModel, codes: NDArray[np.integer], *, softmax: bool = True
) -> NDArray[np.float32]:
    """Return what the network returns for the codes that the accelerator hands to the host.

    Parameters
    ----------
    model : QuantizedModel
        The network.
    codes : int, (n, c, h, w)
        Codes of :func:`output_name`.
    softmax : bool
        Run the host's Softmax, where the network ends with one; otherwise return its input.

    Returns
    -------
    float32, (n, *output_dims)
        Logits or probabilities.
    """
    graph, name = model.graph, output_name(model.graph)
    values = model.real(name, codes)
    if softmax and name != graph.output:
        values = _softmax(values)
    return values.reshape(len(values), *graph.output_dims).astype(np.float32)


def probabilities(model: QuantizedModel, codes: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return the Softmax of what the accelerator hands to the host, whether there is one or not.

    Parameters
    ----------
    model : QuantizedModel
        The network.
    codes : int, (n, c, h, w)
        Codes of :func:`output_name`.

    Returns
    -------
    float64, (n, c * h * w)
        Positive numbers, of which those of an image add up to one.
    """
    return _softmax(model.real(output_name(model.graph), codes).reshape(len(codes), -1))


def run(
    model: QuantizedModel, inputs: ArrayLike, *, softmax: bool = True
) -> NDArray[np.float32]:
    """Run the network on float inputs and return what the float network would.

    Parameters
    ----------
    model : QuantizedModel
        The network.
    inputs : float, (n, *input_dims)
        Preprocessed images, any number of them: memory is bounded.
    softmax : bool
        Run the host's Softmax, where the network ends with one; otherwise return its input.

    Returns
    -------
    float32, (n, *output_dims)
        Logits or probabilities.

    Raises
    ------
    ModelError
        If the inputs have another shape or are not finite.
    """
    graph = model.graph
    images = check_inputs(inputs, graph)
    name = output_name(graph)
    largest = max(int(np.prod(shape)) for shape in graph.shapes.values())
    batch = max(1, _BATCH_SIZE // largest)
    prepared = prepare(model, graph.accelerated)

    def work(start: int) -> NDArray[np.int32]:
        codes = quantize_input(model, images[start:start + batch])
        return execute(model, codes, names={name}, prepared=prepared)[name]

    empty = np.zeros((0, *graph.shapes[name]), np.int32)
    codes = np.concatenate([empty, *in_threads(work, range(0, len(images), batch))])
    return to_outputs(model, codes, softmax=softmax)
