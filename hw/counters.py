"""Counters of what each engine did for each layer."""

from amaranth import *
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out, connect

from arch.isa import Engine
from arch.registers import COUNTERS

from .layouts import Status, Waiting
from .primitives import NO_COLLISIONS
from .queue import StreamQueue


__all__ = (
    "CounterBank",
    "Tally",
)


def _entry_layout(layer_width):
    """Return the layout of counts on their way to memory."""
    return data.StructLayout({
        "layer": layer_width,
        "counts": data.ArrayLayout(Tally.width, len(COUNTERS)),
    })


class Tally(wiring.Component):
    """Count for one engine, a few cycles or the stay in one layer at a time.

    When the layer changes, or a count is half full, the counts go out and start from zero. While
    they cannot go out, cycles of the next layer are added to them: none is lost.

    Parameters
    ----------
    depth : int
        Layers that can be told apart; a power of two.

    Members
    -------
    clear : In(1)
        Strobe: forget all counts. The engine must be idle.
    finish : In(1)
        Strobe: give the counts out. The engine must be idle.
    status : In(Status)
        What the engine does in this cycle.
    waiting : In(Waiting)
        Whether its next instruction waits; counted while the engine is not busy.
    o : Out(stream)
        Layers and counts. ``o.valid`` falls only with a payload taken, but the counts grow.
    busy : Out(1)
        A finish has not yet shown in ``o``.
    """

    width = 8

    def __init__(self, depth):
        self._layer_width = (depth - 1).bit_length()
        super().__init__({
            "clear": In(1),
            "finish": In(1),
            "status": In(Status),
            "waiting": In(Waiting),
            "o": Out(stream.Signature(_entry_layout(self._layer_width))),
            "busy": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        # First stage: what to count in this cycle, and for whom.
        step_layout = data.StructLayout({
            "moves": len(COUNTERS), "active": 1, "layer": self._layer_width})
        seen, step = Signal(step_layout), Signal(step_layout)
        idle_wait = self.waiting.valid & ~self.status.busy
        m.d.sync += [
            seen.moves.eq(Cat(self.status.busy, idle_wait, self.status.stall, self.status.moved)),
            seen.active.eq(self.status.busy | self.waiting.valid),
            seen.layer.eq(Mux(self.status.busy, self.status.layer, self.waiting.layer)),
        ]

        # Second stage: whether that is another layer than the one that is counted by then.
        counts, layer = self.o.payload.counts, self.o.payload.layer
        changes = Signal()
        enters = Signal()
        finish, finishing = Signal(), Signal()
        leave = Signal()
        m.d.comb += enters.eq(step.active & (~changes | leave))
        m.d.sync += [
            step.eq(seen),
            changes.eq(seen.active & Mux(
                enters, seen.layer != step.layer, seen.layer != layer)),
            finish.eq(self.finish),
        ]

        # Third stage: the counts of the current layer.
        m.d.comb += [
            self.o.valid.eq(finishing | changes | Cat(count[-1] for count in counts).any()),
            leave.eq(self.o.valid & self.o.ready),
            self.busy.eq(finish | finishing),
        ]
        for count, moved in zip(counts, step.moves, strict=True):
            m.d.sync += count.eq(Mux(leave, 0, count) + moved)
        with m.If(enters):
            m.d.sync += layer.eq(step.layer)
        with m.If(finish):
            m.d.sync += finishing.eq(1)
        with m.Elif(leave):
            m.d.sync += finishing.eq(0)
        with m.If(self.clear):
            m.d.sync += [
                finishing.eq(0), finish.eq(0), *(count.eq(0) for count in counts)]
        return m


class CounterBank(wiring.Component):
    """Counters of all engines, by layer.

    Counts are gathered in short registers; one adder brings those of all engines to one memory, a
    count a cycle. Each engine has a queue in front of it: unless an engine changes its layer more
    than :attr:`queue_depth` times in a row without staying for 12 cycles on average, each cycle is
    counted for its layer, and for the one before otherwise. No cycle is ever lost.

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
    number : In(range(4))
        Which of its counts is read, by :data:`arch.registers.COUNTERS`.
    value : Out(32)
        That count, :attr:`latency` cycles later, while not ``busy``.
    busy : Out(1)
        Counts are on their way to memory.
    """

    latency = 2
    queue_depth = 16

    def __init__(self, depth):
        self._depth = depth
        super().__init__({
            "clear": In(1),
            "finish": In(1),
            "status": In(data.ArrayLayout(Status, len(Engine))),
            "waiting": In(data.ArrayLayout(Waiting, len(Engine))),
            "layer": In(12),
            "engine": In(2),
            "number": In(range(len(COUNTERS))),
            "value": Out(32),
            "busy": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        layer_width = (self._depth - 1).bit_length()
        queues, tallies = [], []
        for engine in Engine:
            name = engine.name.lower()
            tally = Tally(self._depth)
            queue = StreamQueue(_entry_layout(layer_width), self.queue_depth)
            m.submodules[name] = tally
            m.submodules[f"{name}_queue"] = ResetInserter(self.clear)(queue)
            connect(m, tally.o, queue.i)
            m.d.comb += [
                tally.clear.eq(self.clear),
                tally.finish.eq(self.finish),
                tally.status.eq(self.status[engine]),
                tally.waiting.eq(self.waiting[engine]),
            ]
            queues.append(queue)
            tallies.append(tally)

        # Entry under way: which engine's, and which of its counts is read in this cycle.
        place = Signal(data.StructLayout(
            {"number": range(len(COUNTERS)), "layer": layer_width, "engine": 2}))
        counts = Signal(data.ArrayLayout(Tally.width, len(COUNTERS)))
        working = Signal()
        last = Signal()
        swept = Signal()
        offered = Cat(queue.o.valid for queue in queues)
        chosen = Signal(len(Engine))  # whose entry comes next
        m.d.comb += last.eq(place.number == len(COUNTERS) - 1)
        with m.If(working):
            m.d.sync += [place.number.eq(place.number + 1), working.eq(~last)]
        with m.If(~chosen.any()):
            m.d.sync += chosen.eq(offered & -offered)
        with m.If(swept & (~working | last) & chosen.any()):
            m.d.sync += [working.eq(1), place.number.eq(0), chosen.eq(0)]
            for engine, queue in zip(Engine, queues):
                m.d.comb += queue.o.ready.eq(chosen[engine])
                with m.If(chosen[engine]):
                    m.d.sync += [
                        place.layer.eq(queue.o.payload.layer),
                        place.engine.eq(engine),
                        counts.eq(queue.o.payload.counts),
                    ]
        read_place = Signal.like(place)
        m.d.comb += read_place.eq(place)
        with m.If(~working):
            m.d.comb += [
                read_place.number.eq(self.number),
                read_place.layer.eq(self.layer),
                read_place.engine.eq(self.engine),
            ]

        # Read, add, write. A count is read again four cycles later at the earliest.
        m.submodules.memory = mem = memory.Memory(
            shape=32, depth=1 << len(place.as_value()), init=[], attrs=NO_COLLISIONS)
        read, write = mem.read_port(), mem.write_port()
        known = self._known(m, read_place, working, last, swept)
        fresh, adding, added = Signal(), Signal(), Signal()
        delta, sum_delta = Signal(Tally.width), Signal(Tally.width)
        places = [Signal.like(place.as_value(), name=f"place_{stage}") for stage in range(2)]
        m.d.sync += [
            fresh.eq(~known),
            self.value.eq(Mux(fresh, 0, read.data)),
            adding.eq(working & ~self.clear),
            added.eq(adding & ~self.clear),
            delta.eq(counts[place.number]),
            sum_delta.eq(delta),
            places[0].eq(place), places[1].eq(places[0]),
        ]
        m.d.comb += [
            read.addr.eq(read_place),
            write.addr.eq(places[1]),
            write.data.eq(self.value + sum_delta),
            write.en.eq(added),
            self.busy.eq(
                ~swept | working | adding | added | offered.any()
                | Cat(tally.busy for tally in tallies).any()),
        ]
        with m.If(self.clear):
            m.d.sync += [working.eq(0), chosen.eq(0)]
        return m

    def _known(self, m, place, learn, last, swept):
        """Return whether counts at ``place`` have been written since ``clear``.

        A bit for each layer and engine, in a memory of few rows, so that a row a cycle forgets
        them soon. A place is learned with its ``last`` count.
        """
        rows = min(16, self._depth)
        row_width = (rows - 1).bit_length()
        columns = len(Engine) * self._depth // rows
        m.submodules.known = mem = memory.Memory(shape=columns, depth=rows, init=[])
        read, write = mem.read_port(domain="comb"), mem.write_port()
        row, column = place.layer[:row_width], Cat(place.layer[row_width:], place.engine)
        sweep = Signal(row_width + 1)
        m.d.comb += [
            swept.eq(sweep[-1]),
            read.addr.eq(row),
            write.addr.eq(Mux(swept, row, sweep[:-1])),
            write.data.eq(Mux(swept, read.data | (1 << column), 0)),
            write.en.eq(~swept | (learn & last)),
        ]
        with m.If(self.clear):
            m.d.sync += sweep.eq(0)
        with m.Elif(~swept):
            m.d.sync += sweep.eq(sweep + 1)
        return read.data.bit_select(column, 1)
