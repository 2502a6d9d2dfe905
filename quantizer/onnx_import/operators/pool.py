"""MaxPool, AveragePool, their global forms, and ReduceMean over all positions."""

from typing import Literal

from ...graph import Pool, Window
from ..context import Context
from ..node import OnnxNode
from ..windows import has_empty_window, resolve_window


__all__ = (
    "convert_average_pool",
    "convert_global_average_pool",
    "convert_global_max_pool",
    "convert_max_pool",
    "convert_reduce_mean",
)


def convert_max_pool(context: Context, node: OnnxNode) -> None:
    """Largest value of each window."""
    context.sole_output(node)
    _convert_window(context, node, "max")


def convert_average_pool(context: Context, node: OnnxNode) -> None:
    """Mean of each window."""
    _convert_window(context, node, "average")


def convert_global_max_pool(context: Context, node: OnnxNode) -> None:
    """Largest value of a channel."""
    _convert_global(context, node, "max")


def convert_global_average_pool(context: Context, node: OnnxNode) -> None:
    """Mean of a channel."""
    _convert_global(context, node, "average")


def convert_reduce_mean(context: Context, node: OnnxNode) -> None:
    """Mean of a channel, when the axes are lines and columns."""
    value, _ = context.image(node)
    axes = context.integers(node, "axes", 1, "axes")
    if axes is None or {axis % len(value.shape) for axis in axes} != {2, 3}:
        raise node.error(f"axes must be lines and columns, [2, 3], not {axes}")
    _convert_global(context, node, "average")


def _convert_window(context: Context, node: OnnxNode, kind: Literal["max", "average"]) -> None:
    """Add a pooling with the window of ``node``."""
    value, (channels, height, width) = context.image(node)
    window, ceil_pads = resolve_window(node, node.pair("kernel_shape"), (height, width))
    given = node.attribute("pads", (0, 0, 0, 0))
    if any(pad >= size for pad, size in zip(given, window.kernel * 2, strict=True)):
        raise node.error(f"pads {list(given)} must be smaller than the kernel {window.kernel}, "
                         f"because onnxruntime refuses others")
    if has_empty_window(window, (height, width)):
        raise node.error(f"pads {list(window.pads)} hold a whole window of kernel {window.kernel}; "
                         f"every window must reach the input")
    chw = (channels, *window.output_size(height, width))
    context.emit(
        Pool(node.label, (value.base,), node.output, sources=(node.label,), kind=kind,
             window=window, count_pad=bool(node.attribute("count_include_pad", 0)),
             ceil_pads=ceil_pads),
        chw, (context.batch, *chw))


def _convert_global(context: Context, node: OnnxNode, kind: Literal["max", "average"]) -> None:
    """Add a pooling over the whole map."""
    value, (channels, height, width) = context.image(node)
    context.emit(
        Pool(node.label, (value.base,), node.output, sources=(node.label,), kind=kind,
             window=Window(kernel=(height, width))),
        (channels, 1, 1), context.inferred(node))
