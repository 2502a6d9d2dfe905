"""Writes the instruction list, loading and saving what the layers ask for."""

from collections.abc import Sequence
from dataclasses import replace

from arch.config import TABLES, AcceleratorConfig
from arch.isa import Memory, Opcode, Region, VectorOp

from .buffers import Buffer
from .chains import laps
from .errors import CompileError
from .host import Stops
from .ir import Instruction, Loop, Position, Space, Span, WriteRecord, calc_fields
from .layers import ConvTask, Rect, SlopeTask, StoredMap, TableTask, Task
from .memory_map import MemoryMap
from .tiling import Tiling
from .unrolling import Unrolling
from .weights import Ring, Unit, WeightImage


__all__ = ("Emitter",)


_MAX_LINES = 65535

Key = tuple[int, int, int]


class Emitter:
    """Collects instructions in an order in which they could run one after the other.

    Loads stand right in front of what needs them; a later pass moves them up.

    Parameters
    ----------
    config : AcceleratorConfig
        Accelerator.
    memory : MemoryMap
        Where maps lie.
    stops : Stops
        Which maps come from and go to DRAM.
    unrolling : Unrolling, optional
        That of the input, if LOAD makes its taps into channels.
    """

    def __init__(
        self, config: AcceleratorConfig, memory: MemoryMap, stops: Stops,
        unrolling: Unrolling | None = None,
    ) -> None:
        self.config = config
        self.instructions: list[Instruction] = []
        self.records: list[WriteRecord] = []
        self.image = WeightImage(config)
        self.weight_places: dict[int, tuple[int, int]] = {}
        self._memory = memory
        self._departures = stops.departures
        self._unrolling = unrolling
        self._weights = Ring(config.weight_depth)
        self._params = Ring(config.param_depth)
        self._tables = Ring(TABLES)
        self._table_address: dict[bytes, int] = {}
        self._constant_address: dict[str, int] = {}
        self._unit_address: dict[tuple[Key, int], int] = {}
        self._param_address: dict[Key, int] = {}
        self._held: dict[tuple[Key, int, int], Rect] = {}
        self._turn: dict[tuple[int, int], int] = {}
        self._windows: dict[str, Buffer] = {}
        self._rings: set[str] = set()
        self._arrived = dict.fromkeys(stops.arrivals, 0)
        self._pool_row: dict[Key, int] = {}

    # Transfers

    def _transfer(
        self, opcode: Opcode, layer: int, note: str, memory: Memory, region: Region,
        spans: tuple[Span, Span], **fields: int,
    ) -> None:
        chip, dram = spans
        reads, writes = (dram, chip) if opcode == Opcode.LOAD else (chip, dram)
        self.instructions.append(Instruction(
            opcode, {"memory": memory, "region": region, **fields}, layer, note,
            (reads,), (writes,)))

    def _place(self, stored: StoredMap) -> tuple[Region, int]:
        """Return the place of a map in DRAM, in bytes."""
        if stored.constant:
            return Region.WEIGHTS, self._constant_address[stored.name]
        return self._memory.dram[stored.place.name]

    def _move_rect(
        self, opcode: Opcode, layer: int, stored: StoredMap, rect: Rect, buffer: Buffer
    ) -> None:
        """Emit the LOAD or SAVE of a rectangle, in as few lines as possible."""
        if self._unrolling is not None and stored.name == self._unrolling.tensor:
            self._unroll_rect(layer, stored, rect, buffer, self._unrolling)
            return
        region, base = self._place(stored)
        whole = Buffer.whole(stored, 0)
        row_size = self.config.row_size
        first = whole.row(rect.y0, rect.x0, buffer.block0)
        stop = whole.row(rect.y1 - 1, rect.x1 - 1, buffer.block0) + buffer.blocks
        if buffer.blocks < whole.step:
            self._move_blocks(opcode, layer, stored, rect, buffer)
            return
        row_count, line_count = rect.columns * stored.blocks, rect.lines
        if whole.contiguous(rect) and buffer.contiguous(rect):
            row_count, line_count = row_count * line_count, 1
        many = line_count > 1
        start = base // row_size
        self._transfer(
            opcode, layer, f"{stored.name} lines {rect.y0}..{rect.y1 - 1}"
            + (f" columns {rect.x0}..{rect.x1 - 1}" if rect.columns < stored.width else ""),
            Memory.FEATURE, region,
            (buffer.span(rect), Span(Space.dram(region), start + first, start + stop)),
            address=base + first * row_size, row=buffer.row(rect.y0, rect.x0),
            row_count=row_count, line_count=line_count,
            line_stride=whole.pitch * row_size if many else 0,
            row_stride=buffer.pitch if many else 0)

    def _unroll_rect(
        self, layer: int, stored: StoredMap, rect: Rect, buffer: Buffer, unrolling: Unrolling
    ) -> None:
        """Emit the LOAD of lines of an input whose taps become channels."""
        if rect.columns < stored.width or not buffer.contiguous(rect):
            raise CompileError(f"Input '{stored.name}': LOAD unrolls whole lines only")
        fields = unrolling.fields(rect.y0, rect.y1)
        size = fields["line_beats"] * self.config.dram_width
        unit = self.config.row_size
        self._transfer(
            Opcode.LOAD, layer, f"{stored.name} lines {rect.y0}..{rect.y1 - 1}",
            Memory.FEATURE, Region.INPUT,
            (buffer.span(rect), Span(
                Space.DRAM_INPUT, fields["address"] // unit,
                -(-(fields["address"] + size) // unit))),
            row=buffer.row(rect.y0, 0), row_count=rect.size * stored.blocks, line_count=1,
            line_stride=0, row_stride=0, **fields)

    def _move_blocks(
        self, opcode: Opcode, layer: int, stored: StoredMap, rect: Rect, buffer: Buffer
    ) -> None:
        """Emit the transfer of some blocks of a rectangle: a line for each position."""
        region, base = self._place(stored)
        whole = Buffer.whole(stored, 0)
        row_size = self.config.row_size
        start = base // row_size
        together = whole.contiguous(rect) and rect.size <= _MAX_LINES
        step = rect.lines if together else 1
        for y in range(rect.y0, rect.y1, step):
            part = Rect(y, y + step, rect.x0, rect.x1)
            first = whole.row(y, rect.x0, buffer.block0)
            stop = whole.row(part.y1 - 1, rect.x1 - 1, buffer.block0) + buffer.blocks
            many = part.size > 1
            self._transfer(
                opcode, layer, f"{stored.name} lines {y}..{part.y1 - 1} blocks "
                f"{buffer.block0}..{buffer.block0 + buffer.blocks - 1}", Memory.FEATURE, region,
                (buffer.span(part), Span(Space.dram(region), start + first, start + stop)),
                address=base + first * row_size, row=buffer.row(y, rect.x0),
                row_count=buffer.blocks, line_count=part.size,
                line_stride=whole.step * row_size if many else 0,
                row_stride=buffer.step if many else 0)

    def _load_region(
        self, layer: int, note: str, memory: Memory, address: int, row: int, rows: int,
        bits: int = 8, pairs: bool = False, columns: int = 0,
    ) -> None:
        """Emit the LOAD of weights, of some bits and columns, of parameters or of tables."""
        size = {
            Memory.WEIGHT: self.config.packed_size(rows, bits, columns),
            Memory.PARAM: rows * self.config.param_row_size,
            Memory.TABLE: rows * self.config.table_size}[memory]
        unit = self.config.row_size
        self._transfer(
            Opcode.LOAD, layer, note, memory, Region.WEIGHTS,
            (Span(Space.on_chip(memory), row, row + rows),
             Span(Space.DRAM_WEIGHTS, address // unit, -(-(address + size) // unit))),
            address=address, row=row, row_count=rows, line_count=1,
            weight_bits=bits % 8, pairs=int(pairs), columns=columns,
            line_beats=size // self.config.dram_width if columns else 0)

    # Weights and parameters

    def add_weights(self, layers: Sequence[tuple[Task, Tiling]]) -> None:
        """Append the weights of layers to the image, and make room to keep them."""
        for task, _ in layers:
            if isinstance(task, SlopeTask | TableTask):
                self._add_constants(task)
        convolutions = [
            (task, tiling) for task, tiling in layers if isinstance(task, ConvTask)]
        rows = [
            size for task, tiling in convolutions for size in self._add_layer(task, tiling)]
        if rows and sum(rows) <= self.config.weight_depth:
            if len(layers) > 1:
                self._weights.reserve(sum(rows))
            else:
                self._weights.reserve_parts(rows)
        self._place_lines([task for task, _ in convolutions])
        params = sum(task.output.blocks for task, _ in convolutions)
        if len(layers) > 1:
            self._params.reserve(params)

    def _place_lines(self, tasks: Sequence[ConvTask]) -> None:
        """Give layers that run together their own rows of the line buffer of poolings."""
        row = 0
        for task in tasks:
            self._pool_row[task.key] = row
            row += 0 if task.pooling is None else task.pooling.rows

    def pool_fields(self, task: ConvTask, block: int, rect: Rect) -> dict[str, int]:
        """Return the fields that pool the results of a CONV, none if it does not."""
        if task.pooling is None:
            return {}
        return task.pooling.fields(rect, self._pool_row[task.key] + task.pooling.base(block))

    def _add_layer(self, task: ConvTask, tiling: Tiling) -> list[int]:
        """Append the weights of a layer to the image; return the rows of its units."""
        address = self._param_address[task.key] = self.image.add_params(task)
        units = [unit for section in tiling.sections for unit in section]
        for unit in units:
            self._unit_address[task.key, unit.number] = self.image.add_unit(task, unit)
        start, _ = self.weight_places.get(task.index, (address, 0))
        self.weight_places[task.index] = (start, self.image.size - start)
        return [unit.rows for unit in units]

    def _add_constants(self, task: SlopeTask | TableTask) -> None:
        """Append the slopes or the table of a layer to the image, the same table only once."""
        start = self.image.size
        if isinstance(task, SlopeTask):
            address = self.image.add_rows(task.slopes)
            self._constant_address[task.inputs[1].name] = address
        else:
            key = task.entries.tobytes()
            if key not in self._table_address:
                self._table_address[key] = self.image.add_table(task.entries)
            address = self._table_address[key]
        self.weight_places[task.index] = (address, self.image.size - start)

    def table(self, task: TableTask) -> int:
        """Return the row of table memory of a layer's table, loading it if it is not there."""
        key = task.entries.tobytes()
        row = self._tables.find(key)
        if row is None:
            row = self._tables.allocate(key, 1)
            self._load_region(
                task.index, "table", Memory.TABLE, self._table_address[key], row, 1)
        return row

    def weights(self, task: ConvTask, unit: Unit) -> int:
        """Return the first weight row of a unit, loading it if it is not there."""
        key = (task.key, unit.number)
        row = self._weights.find(key)
        if row is None:
            row = self._weights.allocate(key, unit.rows)
            blocks = unit.blocks
            self._load_region(
                task.index, f"weights of blocks {blocks.start}..{blocks.stop - 1}",
                Memory.WEIGHT, self._unit_address[key], row, unit.rows, unit.bits,
                unit.pairs, unit.columns)
        return row

    def params(self, task: ConvTask, block: int) -> int:
        """Return the parameter row of an output block, loading it if it is not there."""
        most = max(1, self.config.param_depth // 2)
        part = block // most
        key = (task.key, part)
        row = self._params.find(key)
        if row is None:
            first = part * most
            rows = min(most, task.output.blocks - first)
            row = self._params.allocate(key, rows)
            self._load_region(
                task.index, f"parameters of blocks {first}..{first + rows - 1}", Memory.PARAM,
                self._param_address[task.key] + first * self.config.param_row_size, row, rows)
        return row + block - part * most

    # Maps

    def input_buffer(self, task: Task, index: int, tiling: Tiling, rect: Rect) -> Buffer:
        """Return where a rectangle of an input lies, loading it if it is not there."""
        stored = task.inputs[index]
        slots = tiling.input_slots[index]
        if stored.name in self._windows:
            return self._window(stored, rect)
        if slots is None:
            buffer = Buffer.whole(stored, self._memory.resident[stored.place.name])
            done = self._arrived.get(stored.name)
            if done is not None and rect.y1 > done:
                lines = Rect(done, rect.y1, 0, stored.width)
                self._move_rect(Opcode.LOAD, task.index, stored, lines, buffer)
                self._arrived[stored.name] = rect.y1
            return buffer
        for base in slots:
            if self._held.get((task.key, stored.block0, base)) == rect:
                return Buffer.tile(base, rect, 0, stored.blocks)
        turn = self._turn.get((task.index, index), 0)
        self._turn[task.index, index] = turn + 1
        base = slots[turn % len(slots)]
        buffer = Buffer.tile(base, rect, 0, stored.blocks)
        self._held[task.key, stored.block0, base] = rect
        self._move_rect(Opcode.LOAD, task.index, stored, rect, buffer)
        return buffer

    def output_buffer(
        self, task: Task, tiling: Tiling, turn: int, rect: Rect, blocks: Sequence[int]
    ) -> Buffer:
        """Return where a rectangle of some blocks of the output is to be written."""
        if task.output.name in self._windows:
            return self._window(task.output, rect)
        if tiling.output_slots is None:
            return Buffer.whole(task.output, self._memory.resident[task.output.place.name])
        base = tiling.output_slots[turn % len(tiling.output_slots)]
        return Buffer.tile(base, rect, blocks[0], len(blocks))

    def save(self, task: Task, tiling: Tiling, rect: Rect, buffer: Buffer) -> None:
        """Emit the SAVE of a finished rectangle, if the map goes to DRAM."""
        stored = task.output
        if tiling.output_slots is not None or stored.place.name in self._departures:
            self._move_rect(Opcode.SAVE, task.index, stored, rect, buffer)

    def stop(self, task: Task) -> None:
        """Remember what a step of the host writes."""
        stored = task.output
        self.records.append(WriteRecord(
            task.index, stored.name, 0, stored.height, 0, stored.width, 0, stored.blocks))

    # Windows of maps inside a chain

    def open_window(self, stored: StoredMap, base: int, lines: int, *, ring: bool) -> None:
        """Hold some lines of a map that never exists as a whole, at first the topmost.

        A ring is filled round and round; of other windows lines must be moved.
        """
        self._windows[stored.name] = Buffer.tile(
            base, Rect(0, lines, 0, stored.width), 0, stored.blocks)
        if ring:
            self._rings.add(stored.name)

    def ring_lines(self, stored: StoredMap) -> int | None:
        """Return the lines of the ring that holds a map, if one does."""
        return self._windows[stored.name].rect.lines if stored.name in self._rings else None

    def _window(self, stored: StoredMap, rect: Rect) -> Buffer:
        """Return where a rectangle lies; in a ring it must not pass the end."""
        window = self._windows[stored.name]
        if stored.name not in self._rings:
            return window
        (lap,) = laps(window.rect.lines, rect)
        top = lap * window.rect.lines
        return replace(window, rect=Rect(top, top + window.rect.lines, 0, stored.width))

    def move_window(self, task: Task, keep: int, rect: Rect) -> None:
        """Make room for a tile of a layer's output, if it has a window that is full.

        The lines from ``keep`` on that are there already move to the start of the window. They
        move towards lower rows, lowest first, so that none is overwritten before it is read.
        """
        stored = task.output
        old = self._windows.get(stored.name)
        if old is None or stored.name in self._rings or rect.y1 <= old.rect.y1:
            return
        new = Buffer.tile(
            old.base, Rect(keep, keep + old.rect.lines, 0, stored.width), 0, stored.blocks)
        self._windows[stored.name] = new
        kept = Rect(keep, rect.y0, 0, stored.width)
        if not kept.lines:
            return
        per_row = self.config.words_per_row
        signed, fmt = int(stored.format.signed), stored.format
        loops = [
            Loop(), Loop(), Loop(stored.blocks, per_row),
            Loop(stored.width, stored.blocks * per_row), Loop(kept.lines, old.pitch * per_row)]
        fields = {
            **calc_fields(
                Position(old.row(keep, 0) * per_row), loops, self.config.feature_words),
            "row": new.base, "row_step": 1, "op": VectorOp.MAX, "signed": signed,
            "signed_b": signed, "lo": fmt.min, "hi": fmt.max,
        }
        self.calc(
            Opcode.VECTOR, task, f"move lines {keep}..{rect.y0 - 1}", fields,
            (old.span(kept),), (new.span(kept),),
            WriteRecord(
                task.index, stored.name, keep, kept.lines, 0, stored.width, 0, stored.blocks))

    # Computation

    def calc(
        self, opcode: Opcode, task: Task, note: str, fields: dict[str, int],
        reads: tuple[Span, ...], writes: tuple[Span, ...], record: WriteRecord | None,
    ) -> None:
        """Emit a CONV or VECTOR and remember what it writes."""
        self.instructions.append(
            Instruction(opcode, fields, task.index, note, reads, writes))
        if record is not None:
            stored = task.output
            if stored.whole:
                record = replace(record, tensor=stored.whole, block=record.block + stored.first)
            self.records.append(record)
