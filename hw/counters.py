"""Counters of what each engine did for each layer."""

from amaranth import *
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from arch.isa import Engine

from .layouts import COUNTS_LAYOUT, Status, Waiting


__all__ = (
    "CounterBank",
    "LayerCounters",
)


class LayerCounters(wiring.Component):
    """Count for one engine, by layer.

    The counts of the current layer are kept in registers; when the layer changes they are added
    to a row of memory, three cycles later. No cycle is lost or given to another layer. ``values``
    follows ``select`` after two cycles, when the engine is idle.

    Parameters
    ----------
    depth : int
        Layers that can be told apart; a power of two.

    Members
    -------
    clear : In(1)
        Strobe: all counts are zero. The engine must be idle.
    finish : In(1)
        Strobe: bring the counts of the current layer to memory. The engine must be idle.
    status : In(Status)
        What the engine does in this cycle.
    waiting : In(Waiting)
        Whether its next instruction waits; counted while the engine is not busy.
    select : In(range(depth))
        Layer whose counts are read.
    values : Out(COUNTS_LAYOUT)
        Its counts, in the order of :data:`arch.registers.COUNTERS`.
    """

    def __init__(self, depth):
        self._depth = depth
        super().__init__({
            "clear": In(1),
            "finish": In(1),
            "status": In(Status),
            "waiting": In(Waiting),
            "select": In(range(depth)),
            "values": Out(COUNTS_LAYOUT),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = mem = memory.Memory(
            shape=COUNTS_LAYOUT, depth=self._depth, init=[])
        write = mem.write_port()
        read = mem.read_port(transparent_for=(write,))

        # First stage: what to count in this cycle, and for whom.
        steps = Signal(4)
        active = Signal()
        finishing = Signal()
        step_layer = Signal(range(self._depth))
        idle_wait = self.waiting.valid & ~self.status.busy
        m.d.sync += [
            steps.eq(Cat(self.status.busy, idle_wait, self.status.stall, self.status.moved)),
            active.eq(self.status.busy | self.waiting.valid),
            finishing.eq(self.finish),
            step_layer.eq(Mux(self.status.busy, self.status.layer, self.waiting.layer)),
        ]

        # Second stage: the counts of the current layer.
        counts = Signal(COUNTS_LAYOUT)
        layer = Signal(range(self._depth))
        leave = Signal()
        m.d.comb += leave.eq(finishing | (active & (step_layer != layer)))
        for count, step in zip(counts, steps, strict=True):
            m.d.sync += count.eq(Mux(leave, 0, count) + step)
        with m.If(active):
            m.d.sync += layer.eq(step_layer)

        # Third to fifth stage: read the row, mask it, add to it. Only rows written since `clear`
        # count. Two cycles after a row is read it is written; a layer that comes back is read two
        # cycles later at the earliest, in the cycle of the write, which the read port sees.
        flushed = Signal(self._depth)
        adding = [Signal(name=f"adding_{stage}") for stage in range(3)]
        layers = [Signal.like(layer, name=f"layer_{stage}") for stage in range(3)]
        deltas = [Signal(COUNTS_LAYOUT, name=f"delta_{stage}") for stage in range(3)]
        known = Signal()
        m.d.sync += [
            adding[0].eq(leave), layers[0].eq(layer), deltas[0].eq(counts),
            adding[1].eq(adding[0]), layers[1].eq(layers[0]), deltas[1].eq(deltas[0]),
            adding[2].eq(adding[1]), layers[2].eq(layers[1]), deltas[2].eq(deltas[1]),
            known.eq(flushed.bit_select(read.addr, 1)),
            self.values.eq(Mux(known, read.data, 0)),
        ]
        m.d.comb += [
            read.addr.eq(Mux(adding[0], layers[0], self.select)),
            write.addr.eq(layers[2]),
            write.en.eq(adding[2]),
        ]
        for total, value, delta in zip(write.data, self.values, deltas[2], strict=True):
            m.d.comb += total.eq(value + delta)
        with m.If(adding[0]):
            m.d.sync += flushed.eq(flushed | (1 << layers[0]))
        with m.If(self.clear):
            m.d.sync += flushed.eq(0)
        return m


class CounterBank(wiring.Component):
    """Counters of all engines.

    Parameters
    ----------
    depth : int
        Layers that can be told apart; a power of two.

    Members
    -------
    clear : In(1)
        Strobe: all counts are zero. The engines must be idle.
    finish : In(1)
        Strobe at the end of a run.
    status : In(ArrayLayout(Status, 3))
        By engine, what it does in this cycle.
    waiting : In(ArrayLayout(Waiting, 3))
        By engine, whether its next instruction waits.
    layer : In(12)
        Layer whose counts are read.
    engine : In(2)
        Engine whose counts are read.
    values : Out(COUNTS_LAYOUT)
        Their counts, :attr:`latency` cycles later, between runs.
    """

    latency = 3

    def __init__(self, depth):
        self._depth = depth
        super().__init__({
            "clear": In(1),
            "finish": In(1),
            "status": In(data.ArrayLayout(Status, len(Engine))),
            "waiting": In(data.ArrayLayout(Waiting, len(Engine))),
            "layer": In(12),
            "engine": In(2),
            "values": Out(COUNTS_LAYOUT),
        })

    def elaborate(self, platform):
        m = Module()
        banks = {engine: LayerCounters(self._depth) for engine in Engine}
        for engine, bank in banks.items():
            m.submodules[engine.name.lower()] = bank
            m.d.comb += [
                bank.clear.eq(self.clear),
                bank.finish.eq(self.finish),
                bank.status.eq(self.status[engine]),
                bank.waiting.eq(self.waiting[engine]),
                bank.select.eq(self.layer),
            ]
        with m.Switch(self.engine):
            for engine, bank in banks.items():
                with m.Case(engine):
                    m.d.sync += self.values.eq(bank.values)
        return m
