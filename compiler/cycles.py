"""The cycle and traffic model: what a run will take, layer by layer."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import accumulate, pairwise
from typing import Any

from arch.config import AcceleratorConfig
from arch.isa import INSTRUCTION_SIZE, Engine, Memory, Opcode, Region

from .bounds import attribute, whole
from .describe import Layer
from .host import HostStep, segments_of
from .ir import DramTiming, Instruction
from .machine import group_cycles, rows_cycles, transfer_size
from .runs import run_segments


__all__ = (
    "LayerPrediction",
    "Prediction",
    "STREAMS",
    "predict",
)


STREAMS = ("weights", "maps_in", "maps_out", "program")
"""What crosses the bus: weights with biases, maps read, maps written, instructions."""


@dataclass(frozen=True)
class LayerPrediction:
    """Prediction for one layer.

    Parameters
    ----------
    index : int
        Index of the layer.
    cycles : int
        Cycles from the last result of the layer before to the last of this one. Where layers
        take turns, the sum over the turns.
    busy : dict from engine name to int
        Cycles that each engine works for the layer, others possibly at the same time.
    traffic : dict from stream to int
        Bytes by stream; see :data:`STREAMS`.
    bound_by : str
        ``array``, ``vector`` or ``DRAM``: what takes most of the cycles; ``hidden`` when there
        are none, ``host`` when the host computes the layer.
    causes : dict from cause to int
        Where the cycles go, by :data:`.bounds.CAUSES`.
    """

    index: int
    cycles: int
    busy: dict[str, int]
    traffic: dict[str, int]
    bound_by: str
    causes: dict[str, int] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        """Bytes moved."""
        return sum(self.traffic.values())


@dataclass(frozen=True)
class Prediction:
    """Prediction for one image.

    Parameters
    ----------
    cycles : int
        Cycles from start to interrupt.
    layers : tuple of LayerPrediction
        Layers; their cycles sum to ``cycles``.
    """

    cycles: int
    layers: tuple[LayerPrediction, ...] = ()

    @property
    def busy(self) -> dict[str, int]:
        """Cycles that each engine works."""
        return {
            engine.name.lower(): sum(layer.busy[engine.name.lower()] for layer in self.layers)
            for engine in Engine}

    @property
    def traffic(self) -> dict[str, int]:
        """Bytes by stream."""
        return {
            stream: sum(layer.traffic[stream] for layer in self.layers) for stream in STREAMS}

    @property
    def bytes(self) -> int:
        """Bytes moved."""
        return sum(self.traffic.values())

    def to_json(self) -> dict[str, Any]:
        """Return all fields as plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "Prediction":
        """Inverse of :meth:`to_json`."""
        return cls(
            fields["cycles"], tuple(LayerPrediction(**layer) for layer in fields["layers"]))


def _stream(instruction: Instruction) -> str:
    if instruction.opcode == Opcode.SAVE:
        return "maps_out"
    weights = (
        instruction.values["region"] == Region.WEIGHTS
        or instruction.values["memory"] != Memory.FEATURE)
    return "weights" if weights else "maps_in"


def _bound_by(cycles: int, calc: int, vector: bool) -> str:
    if not cycles:
        return "hidden"
    if 2 * calc >= cycles:
        return "vector" if vector else "array"
    return "DRAM"


def _rounded(spent: Sequence[float]) -> list[int]:
    """Return whole cycles whose sum is that of ``spent``."""
    ends = [0, *(round(end) for end in accumulate(spent))]
    return [after - before for before, after in pairwise(ends)]


def predict(
    instructions: Sequence[Instruction], layers: Sequence[Layer], config: AcceleratorConfig,
    dram: DramTiming, host_steps: Sequence[HostStep] = (),
) -> Prediction:
    """Return what a program will take.

    Parameters
    ----------
    instructions : sequence of Instruction
        Program, without END, all fields set.
    layers : sequence of Layer
        Layers.
    config : AcceleratorConfig
        Accelerator.
    dram : DramTiming
        DRAM.
    host_steps : sequence of HostStep
        Where the program stops for the host, whose own time does not count.
    """
    layer_count = len(layers)
    segments = segments_of([step.position for step in host_steps], len(instructions))
    run = run_segments(instructions, segments, config, dram)
    rate = min(dram.bytes_per_cycle or config.dram_width, config.dram_width)
    busy = [dict.fromkeys((engine.name.lower() for engine in Engine), 0)
            for _ in range(layer_count)]
    traffic = [dict.fromkeys(STREAMS, 0) for _ in range(layer_count)]
    spent = [0.0] * layer_count
    before = 0.0
    last = 0
    stops = {part.stop: end for part, end in zip(segments, run.ends, strict=True)}
    for part in segments:
        traffic[instructions[part.first].layer if host_steps else 0]["program"] += INSTRUCTION_SIZE
    vector = [False] * layer_count
    for index, instruction in enumerate(instructions):
        layer = instruction.layer
        traffic[layer]["program"] += INSTRUCTION_SIZE
        if instruction.engine == Engine.CALC:
            cycles = group_cycles(instruction, config)
            spent[layer] += run.done[index] - before
            before = run.done[index]
            last = layer
            vector[layer] = instruction.opcode == Opcode.VECTOR
        else:
            size = transfer_size(instruction, config)
            traffic[layer][_stream(instruction)] += size
            cycles = max(round(size / rate), rows_cycles(instruction, config))
        busy[layer][instruction.engine.name.lower()] += cycles
        if index + 1 in stops:
            target = last if host_steps else -1
            traffic[target]["program"] += INSTRUCTION_SIZE
            spent[target] += stops[index + 1] - before
            before = stops[index + 1]
    causes = attribute(
        instructions, run, config, layer_count, segments if host_steps else ())
    found = []
    for layer, cycles in enumerate(_rounded(spent)):
        bound = _bound_by(cycles, busy[layer]["calc"], vector[layer])
        found.append(LayerPrediction(
            layer, cycles, busy[layer], traffic[layer],
            "host" if layers[layer].host else bound, whole(causes[layer], cycles)))
    return Prediction(run.cycles, tuple(found))
