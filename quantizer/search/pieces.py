"""Work on calibration images by pieces, in threads."""

from collections.abc import Collection, Iterator

import numpy as np
from numpy.typing import NDArray

from ..execute import Maps, Prepared, execute_node, prepare
from ..graph import Graph, Node
from ..model import QuantizedModel
from ..parallel import in_threads
from ..ranges import batches


__all__ = (
    "executed",
    "part",
    "pieces",
)


_PIECE_SIZE = 1 << 24  # bytes of float tensors that a thread works on at once


def pieces(graph: Graph, count: int, names: Collection[str]) -> Iterator[slice]:
    """Cut ``count`` images into pieces to work on the tensors ``names`` in one thread."""
    return batches(graph, count, names, size=_PIECE_SIZE)


def part(node: Node, maps: Maps, images: slice) -> Maps:
    """Return what a node reads of some images."""
    return {name: maps[name][images] for name in node.inputs}


def executed(
    model: QuantizedModel, node: Node, maps: Maps, prepared: Prepared | None = None
) -> NDArray[np.integer]:
    """Return :func:`..execute.execute_node` of all images, in threads."""
    count, ready = len(maps[node.inputs[0]]), prepared or prepare(model, [node])

    def work(images: slice) -> tuple[slice, NDArray[np.integer]]:
        return images, execute_node(model, node, part(node, maps, images), ready)

    result = np.zeros(0, np.int8)
    for images, codes in in_threads(
            work, pieces(model.graph, count, [*node.inputs, node.output])):
        if images.start == 0:
            result = np.empty((count, *codes.shape[1:]), codes.dtype)
        result[images] = codes
    return result
