"""Where a program stops for the host: its segments, and what the host does between them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from arch.config import AcceleratorConfig
from arch.formats import Format, Rounding
from arch.isa import INSTRUCTION_SIZE, Region
from quantizer.graph import Graph, Lrn, Node
from quantizer.graph_json import node_from_json, node_to_json
from quantizer.host import host_codes
from quantizer.layout import pack_map, unpack_map

from .layers import HostTask


__all__ = (
    "HostMap",
    "HostStep",
    "Segment",
    "Stops",
    "host_step",
    "segments_of",
    "steps_of",
)


SEGMENT_ALIGNMENT = 256
"""Bytes at a multiple of which a segment starts, so that the fetch needs the fewest bursts."""

Read = Callable[[Region, int, int], bytes]
Write = Callable[[Region, int, bytes], None]


@dataclass(frozen=True)
class Stops:
    """The steps of the host in a network, and which maps must be in DRAM for them.

    Parameters
    ----------
    tasks : tuple of HostTask
        Steps, in order.
    graph_input, output : str
        Tensors in regions 1 and 2.
    """

    tasks: tuple[HostTask, ...]
    graph_input: str
    output: str

    @property
    def arrivals(self) -> frozenset[str]:
        """Maps that others write to DRAM, for the accelerator to read."""
        return frozenset((self.graph_input, *(task.output.name for task in self.tasks)))

    @property
    def departures(self) -> frozenset[str]:
        """Maps that the accelerator writes to DRAM even if they stay on chip."""
        return frozenset((self.output, *(task.inputs[0].name for task in self.tasks)))

    @property
    def maps(self) -> frozenset[str]:
        """Maps that the host touches."""
        return frozenset(
            name for task in self.tasks for name in (task.inputs[0].name, task.output.name))

    def between(self, first: int, second: int) -> bool:
        """Return whether the program stops behind layer ``first`` and before ``second``."""
        return any(first < task.index < second for task in self.tasks)


@dataclass(frozen=True)
class HostMap:
    """A map in DRAM that the host reads or writes.

    Parameters
    ----------
    tensor : str
        Name of the tensor.
    region : Region
        Region it lies in.
    address : int
        Byte in the region at which it begins.
    shape : (int, int, int)
        Shape ``(c, h, w)``.
    format : Format
        Format of the codes.
    """

    tensor: str
    region: Region
    address: int
    shape: tuple[int, int, int]
    format: Format

    def to_json(self) -> dict[str, Any]:
        """Return all fields as plain values."""
        return {
            "tensor": self.tensor, "region": int(self.region), "address": self.address,
            "shape": list(self.shape), "format": self.format.to_json()}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "HostMap":
        """Inverse of :meth:`to_json`."""
        c, h, w = fields["shape"]
        return cls(
            fields["tensor"], Region(fields["region"]), fields["address"], (c, h, w),
            Format.from_json(fields["format"]))


@dataclass(frozen=True)
class HostStep:
    """What the host does when the program has stopped.

    Parameters
    ----------
    layer : int
        Index of the layer.
    position : int
        Instructions of the program before it.
    node : Node
        Operator.
    source, result : HostMap
        Maps read and written.
    bounds : (int, int)
        Smallest and largest code of the result.
    lanes, code_size : int
        Codes of a row, and bytes of a code.
    rounding : Rounding
        Rounding rule.
    """

    layer: int
    position: int
    node: Node
    source: HostMap
    result: HostMap
    bounds: tuple[int, int]
    lanes: int
    code_size: int
    rounding: Rounding

    def size(self, which: HostMap) -> int:
        """Return the bytes of one of the maps."""
        channels, height, width = which.shape
        return height * width * -(-channels // self.lanes) * self.lanes * self.code_size

    def compute(self, data: bytes) -> bytes:
        """Return the bytes of the result for those of the source."""
        source = self.source
        codes = unpack_map(
            data, source.shape, self.lanes, source.format.signed, code_size=self.code_size)
        result = host_codes(
            self.node, codes.transpose(1, 2, 0), source.format, self.result.format, self.bounds,
            self.rounding)
        return pack_map(result.transpose(2, 0, 1), self.lanes, code_size=self.code_size)

    def run(self, read: Read, write: Write) -> bytes:
        """Do the step in some memory.

        Parameters
        ----------
        read : callable
            Returns bytes, of a region, from an address in it, of a size.
        write : callable
            Takes a region, an address in it, and bytes.

        Returns
        -------
        bytes
            What was written.
        """
        source, result = self.source, self.result
        data = self.compute(read(source.region, source.address, self.size(source)))
        write(result.region, result.address, data)
        return data

    def describe(self) -> str:
        """Return the step in words."""
        source, result = self.source, self.result
        text = f"{type(self.node).__name__}"
        if isinstance(self.node, Lrn):
            node = self.node
            text = (f"LRN size {node.size} alpha {node.alpha:g} beta {node.beta:g} "
                    f"bias {node.bias:g}")
        return (
            f"{result.region.name.lower()}+{result.address:#x} <- {text} of "
            f"{source.region.name.lower()}+{source.address:#x}, "
            f"{'x'.join(map(str, source.shape))} codes {source.format} to {result.format}")

    def to_json(self) -> dict[str, Any]:
        """Return all fields as plain values."""
        return {
            "layer": self.layer, "position": self.position, "node": node_to_json(self.node),
            "source": self.source.to_json(), "result": self.result.to_json(),
            "bounds": list(self.bounds), "lanes": self.lanes, "code_size": self.code_size,
            "rounding": str(self.rounding)}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "HostStep":
        """Inverse of :meth:`to_json`."""
        lo, hi = fields["bounds"]
        return cls(
            fields["layer"], fields["position"], node_from_json(fields["node"], {}),
            HostMap.from_json(fields["source"]), HostMap.from_json(fields["result"]), (lo, hi),
            fields["lanes"], fields["code_size"], Rounding(fields["rounding"]))


@dataclass(frozen=True)
class Segment:
    """Instructions between two stops, with a header and an END of their own.

    Parameters
    ----------
    offset : int
        Byte of the program image at which the header lies.
    first, stop : int
        Instructions ``first`` up to ``stop`` of the program.
    """

    offset: int
    first: int
    stop: int

    @property
    def size(self) -> int:
        """Bytes with header and END."""
        return (self.stop - self.first + 2) * INSTRUCTION_SIZE


def segments_of(positions: Iterable[int], count: int) -> list[Segment]:
    """Cut a program at some positions; parts without an instruction are left out.

    Parameters
    ----------
    positions : iterable of int
        Instructions before each stop, in order.
    count : int
        Instructions.

    Examples
    --------
    >>> [(part.offset, part.first, part.stop) for part in segments_of([3, 3], 9)]
    [(0, 0, 3), (512, 3, 9)]
    """
    parts: list[Segment] = []
    offset = first = 0
    for stop in (*positions, count):
        if stop == first:
            continue
        parts.append(Segment(offset, first, stop))
        offset += -(-parts[-1].size // SEGMENT_ALIGNMENT) * SEGMENT_ALIGNMENT
        first = stop
    return parts


def steps_of(
    steps: Sequence[HostStep], count: int
) -> list[Segment | HostStep]:
    """Return segments and steps of the host in the order in which they run."""
    order: list[tuple[int, int, Segment | HostStep]] = [
        (part.stop, 0, part) for part in segments_of([step.position for step in steps], count)]
    order += [(step.position, 1 + number, step) for number, step in enumerate(steps)]
    return [item for _, _, item in sorted(order, key=lambda entry: entry[:2])]


def host_step(
    task: HostTask, position: int, dram: Mapping[str, tuple[Region, int]],
    config: AcceleratorConfig, graph: Graph,
) -> HostStep:
    """Return the step of a task.

    Parameters
    ----------
    task : HostTask
        What to do.
    position : int
        Instructions before it.
    dram : mapping from tensor name to (Region, int)
        Where its maps lie.
    config : AcceleratorConfig
        Accelerator.
    graph : Graph
        Shapes.
    """
    source, result = (
        HostMap(stored.name, *dram[stored.name], graph.shapes[stored.name], stored.format)
        for stored in (task.inputs[0], task.output))
    return HostStep(
        task.index, position, task.node, source, result, (task.lo, task.hi), config.out_lanes,
        config.code_size, config.rounding)
