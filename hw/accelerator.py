"""The whole accelerator: fetch, three engines, their memories, control."""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from arch.isa import Engine, Memory
from arch.timing import QUEUE_DEPTH

from .axi import AXI4LiteSignature, AXI4Signature
from .axi_ports import AXIPorts
from .calc import CalcEngine
from .control import Control
from .counters import CounterBank
from .feature_memory import FeatureMemory
from .fetch import Fetcher
from .in_order_front import InOrderFront
from .layouts import beats_per_row, common_fields, instruction_layout
from .load import LoadEngine
from .queue import StreamQueue
from .read_arbiter import ReadArbiter
from .save import SaveEngine
from .tokens import TokenCounters, TokenGate


__all__ = (
    "Accelerator",
    "TraceSignature",
    "accelerator_ports",
)


class TraceSignature(wiring.Signature):
    """What an observer needs to follow a run: rows written by CALC, starts and ends.

    Parameters
    ----------
    row_width : int
        Bits in a row of feature memory.
    """

    def __init__(self, *, row_width):
        self._row_width = row_width
        members = {
            "write_valid": Out(1),
            "write_row": Out(20),
            "write_data": Out(row_width),
        }
        for engine in Engine:
            name = engine.name.lower()
            members |= {
                f"{name}_start": Out(1),
                f"{name}_start_layer": Out(12),
                f"{name}_done": Out(1),
                f"{name}_done_layer": Out(12),
            }
        super().__init__(members)

    @property
    def row_width(self):
        """Bits in a row of feature memory."""
        return self._row_width

    def __eq__(self, other):
        return isinstance(other, TraceSignature) and self.row_width == other.row_width

    def __repr__(self):
        return f"TraceSignature(row_width={self.row_width})"


def accelerator_ports(config):
    """Return the members of :class:`Accelerator`, by name."""
    return {
        "m_axi": Out(AXI4Signature(addr_width=32, data_width=config.dram_width * 8, id_width=1)),
        "s_axi": In(AXI4LiteSignature(addr_width=8, data_width=32)),
        "interrupt": Out(1),
        "trace": Out(TraceSignature(row_width=config.row_size * 8)),
    }


class Accelerator(wiring.Component):
    """Runs programs of :mod:`arch.isa` over maps in DRAM.

    ::

        m_axi ── read arbiter ─┬─ fetch ── queues ── token gates ─┬─ LOAD ─ writes ─┐
              │                └─ (data) ───────────────────────  │                 ▼
              │                                                   ├─ CALC ── memories
              └─ writes ◀─────────────────────────────────────────┴─ SAVE ◀─ rows ──┘

    Parameters
    ----------
    config : AcceleratorConfig
        Sizes.

    Members
    -------
    m_axi : Out(AXI4Signature)
        Master to DRAM.
    s_axi : In(AXI4LiteSignature)
        Registers of :mod:`arch.registers`.
    interrupt : Out(1)
        A run has ended, with or without error, while enabled and not cleared.
    trace : Out(TraceSignature)
        For observers; leave unconnected in a product.
    """

    def __init__(self, config):
        self.config = config
        super().__init__(accelerator_ports(config))

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.control = control = Control(config)
        if config.in_order:
            self._elaborate_in_order(m, control)
            return m
        m.submodules.ports = ports = AXIPorts(config)
        m.submodules.fetcher = fetcher = Fetcher(config)
        load, save = LoadEngine(config), SaveEngine(config)
        m.submodules.load = ResetInserter(control.abort)(load)
        m.submodules.calc = calc = CalcEngine(config)
        m.submodules.save = ResetInserter(control.abort)(save)
        m.submodules.feature = feature = self._feature_memory()
        engines = {Engine.LOAD: load, Engine.CALC: calc, Engine.SAVE: save}

        self._connect_bus(m, ports, fetcher, load, save)
        self._connect_instructions(m, control, fetcher, engines)
        self._connect_memories(m, load, calc, save, feature)
        self._connect_control(m, control, fetcher, load, calc, save)
        if config.layer_depth:
            self._connect_counters(
                m, control, {engine: part.status for engine, part in engines.items()},
                {engine: gate.waiting for engine, gate in self._gates.items()})
        return m

    def _elaborate_in_order(self, m, control):
        """One instruction after the other: the engines share its register."""
        config = self.config
        m.submodules.front = front = InOrderFront(config)
        m.submodules.calc = calc = CalcEngine(config)
        m.submodules.feature = feature = self._feature_memory()
        connect(m, flipped(self.m_axi), front.m_axi)
        connect(m, flipped(self.s_axi), control.s_axi)
        connect(m, front.calc, calc.instructions)
        self._connect_memories(m, front, calc, front, feature)
        done = {Engine.LOAD: front.load_done, Engine.CALC: calc.done, Engine.SAVE: front.save_done}
        status = {
            Engine.LOAD: front.load_status, Engine.CALC: calc.status,
            Engine.SAVE: front.save_status}
        m.d.comb += [
            front.start.eq(control.start), front.program.eq(control.program),
            front.bases.eq(control.bases), front.abort.eq(control.abort),
            front.stop.eq(control.stop), calc.stop.eq(control.stop),
            front.calc_done.eq(calc.done),
            control.quiet.eq(front.quiet),
            control.fetch_idle.eq(front.idle), control.fetched.eq(front.fetched),
            control.dispatched.eq(front.dispatched),
            control.fetch_error.eq(front.fetch_error),
            control.load_error.eq(front.load_error), control.save_error.eq(front.save_error),
            self.interrupt.eq(control.interrupt),
        ]
        for engine in Engine:
            name = engine.name.lower()
            m.d.comb += [
                control.ended[engine].eq(done[engine].valid),
                control.working[engine].eq(status[engine].busy),
                getattr(self.trace, f"{name}_start").eq(front.started[engine]),
                getattr(self.trace, f"{name}_start_layer").eq(
                    common_fields(front.calc.payload).layer),
                getattr(self.trace, f"{name}_done").eq(done[engine].valid),
                getattr(self.trace, f"{name}_done_layer").eq(done[engine].layer),
            ]
        if config.layer_depth:
            self._connect_counters(m, control, status, {})

    def _feature_memory(self):
        config = self.config
        return FeatureMemory(
            depth=config.feature_depth, banks=config.feature_banks,
            columns=beats_per_row(config)[Memory.FEATURE], column_width=config.dram_width * 8,
            wire_registers=config.wire_registers)

    def _connect_bus(self, m, ports, fetcher, load, save):
        """Fetch and LOAD share the read channels; SAVE has the write channels."""
        m.submodules.arbiter = arbiter = ReadArbiter(self.config)
        connect(m, flipped(self.m_axi), ports.m_axi)
        connect(m, fetcher.requests, arbiter.fetch_requests)
        connect(m, load.requests, arbiter.load_requests)
        connect(m, arbiter.requests, ports.read_requests)
        connect(m, ports.read_beats, arbiter.beats)
        connect(m, arbiter.fetch_beats, fetcher.beats)
        connect(m, arbiter.load_beats, load.beats)
        connect(m, save.requests, ports.write_requests)
        connect(m, save.beats, ports.write_beats)
        connect(m, ports.responses, save.responses)

    def _connect_instructions(self, m, control, fetcher, engines):
        """From the fetch through queue and token gate to each engine."""
        m.submodules.tokens = tokens = TokenCounters()
        m.d.comb += tokens.clear.eq(control.start)
        self._gates = {}
        for engine, component in engines.items():
            name = engine.name.lower()
            queue = StreamQueue(instruction_layout(engine), QUEUE_DEPTH)
            self._gates[engine] = gate = TokenGate(engine)
            m.submodules[f"{name}_queue"] = queue
            m.submodules[f"{name}_gate"] = ResetInserter(control.abort)(gate)
            connect(m, getattr(fetcher, name), queue.i)
            connect(m, queue.o, gate.i)
            connect(m, gate.o, component.instructions)
            m.d.comb += [
                gate.available.eq(tokens.available[engine]),
                gate.flush.eq(control.stop),
                tokens.take[engine].eq(gate.take),
                tokens.done[engine].eq(component.done),
                control.ended[engine].eq(component.done.valid),
                control.dropped[engine].eq(gate.dropped),
                control.working[engine].eq(component.status.busy),
                control.waiting[engine].eq(gate.i.valid | gate.o.valid),
                getattr(self.trace, f"{name}_start").eq(gate.o.valid & gate.o.ready),
                getattr(self.trace, f"{name}_start_layer").eq(common_fields(gate.o.payload).layer),
                getattr(self.trace, f"{name}_done").eq(component.done.valid),
                getattr(self.trace, f"{name}_done_layer").eq(component.done.layer),
            ]

    def _connect_control(self, m, control, fetcher, load, calc, save):
        connect(m, flipped(self.s_axi), control.s_axi)
        m.d.comb += [
            fetcher.start.eq(control.start),
            fetcher.address.eq(control.program),
            fetcher.stop.eq(control.stop),
            load.stop.eq(control.stop),
            calc.stop.eq(control.stop),
            save.stop.eq(control.stop),
            control.quiet.eq(load.quiet & save.quiet),
            load.bases.eq(control.bases),
            save.bases.eq(control.bases),
            control.fetch_idle.eq(fetcher.idle),
            control.fetched.eq(fetcher.fetched),
            control.dispatched.eq(fetcher.dispatched),
            control.fetch_error.eq(fetcher.error),
            control.load_error.eq(load.error),
            control.save_error.eq(save.error),
            self.interrupt.eq(control.interrupt),
        ]

    def _connect_counters(self, m, control, status, waiting):
        m.submodules.counters = counters = CounterBank(self.config.layer_depth)
        m.d.comb += [
            counters.clear.eq(control.start),
            counters.finish.eq(control.finish),
            counters.layer.eq(control.select_layer),
            counters.engine.eq(control.select_engine),
            counters.number.eq(control.select_number),
            control.count.eq(counters.value),
            control.counting.eq(counters.busy),
        ]
        for engine in Engine:
            m.d.comb += counters.status[engine].eq(status[engine])
            if engine in waiting:
                m.d.comb += counters.waiting[engine].eq(waiting[engine])

    def _connect_memories(self, m, load, calc, save, feature):
        """LOAD writes every memory; CALC and SAVE share feature memory with it."""
        beat = load.writes.payload
        to_feature = beat.memory == Memory.FEATURE.value
        m.d.comb += [
            feature.load_writes.valid.eq(load.writes.valid & to_feature),
            feature.load_writes.payload.row.eq(beat.row),
            feature.load_writes.payload.column.eq(beat.column),
            feature.load_writes.payload.data.eq(beat.data[:self.config.dram_width * 8]),
            load.writes.ready.eq(~to_feature | feature.load_writes.ready),
        ]
        # Weights and parameters come cycles late, which no CONV can be: it starts later. The second
        # registers are for the way to memories all over a chip.
        ports = {name: getattr(calc, name)
                 for name in ("load_row", "load_data", "weight_en", "param_en")}
        loaded = {name: Signal.like(port, name=f"loaded_{name}") for name, port in ports.items()}
        m.d.sync += [
            loaded["load_row"].eq(beat.row),
            loaded["load_data"].eq(beat.data),
            loaded["weight_en"].eq(0),
            loaded["param_en"].eq(0),
        ]
        last = m.d.comb if self.config.in_order else m.d.sync
        last += [port.eq(loaded[name]) for name, port in ports.items()]
        if self.config.table_lanes:
            to_table = beat.memory == Memory.TABLE.value
            m.d.comb += [
                calc.table_writes.valid.eq(load.writes.valid & to_table),
                calc.table_writes.payload.table.eq(beat.row),
                calc.table_writes.payload.column.eq(beat.column),
                calc.table_writes.payload.data.eq(beat.data),
            ]
            with m.If(to_table):
                m.d.comb += load.writes.ready.eq(calc.table_writes.ready)
        wide = (1 << self.config.weight_columns) - 1
        for memory, enable, mask in (
            (Memory.WEIGHT, loaded["weight_en"], Mux(beat.wide, wide, 1)),
            (Memory.PARAM, loaded["param_en"], 1),
        ):
            with m.If(load.writes.valid & (beat.memory == memory.value)):
                m.d.sync += enable.eq(mask << beat.column)
        m.d.comb += [
            feature.save_reads.valid.eq(save.reads.valid),
            feature.save_reads.payload.eq(save.reads.payload),
            save.reads.ready.eq(feature.save_reads.ready),
            save.row_valid.eq(feature.save_valid),
            save.row_data.eq(feature.save_data),
            feature.calc_read.eq(calc.read),
            feature.calc_row.eq(calc.read_row),
            calc.read_data.eq(feature.calc_data),
            feature.calc_write.eq(calc.write),
            feature.calc_w_row.eq(calc.write_row),
            feature.calc_w_data.eq(calc.write_data),
            self.trace.write_valid.eq(calc.write),
            self.trace.write_row.eq(calc.write_row),
            self.trace.write_data.eq(calc.write_data),
        ]
