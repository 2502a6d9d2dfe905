"""The instruction set as a table: what the assembler packs and the hardware unpacks."""

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


__all__ = (
    "COMMON_FIELDS",
    "Engine",
    "Field",
    "HEADER_FIELDS",
    "INSTRUCTION_BITS",
    "INSTRUCTION_SIZE",
    "ISA_VERSION",
    "UNROLL_FIELDS",
    "LEVELS",
    "MAGIC",
    "Memory",
    "Opcode",
    "PARAM_FIELDS",
    "Products",
    "Region",
    "VectorOp",
    "conv_results",
    "conv_rows",
    "decode",
    "decode_header",
    "encode",
    "encode_header",
    "fields_of",
    "group_steps",
    "is_pooled",
    "pool_ends",
)


ISA_VERSION = 4
INSTRUCTION_BITS = 512
INSTRUCTION_SIZE = INSTRUCTION_BITS // 8
LEVELS = 5
MAGIC = 0x584E5944  # "DYNX" in memory


class Engine(enum.IntEnum):
    """The engines that run independently, ordered by tokens."""

    LOAD = 0
    CALC = 1
    SAVE = 2


class Opcode(enum.IntEnum):
    """What an instruction does."""

    END = 0
    LOAD = 1
    SAVE = 2
    CONV = 3
    VECTOR = 4

    @property
    def engine(self) -> Engine | None:
        """Engine that runs the instruction; ``None`` for END, which ends the fetch."""
        return {
            Opcode.LOAD: Engine.LOAD, Opcode.SAVE: Engine.SAVE,
            Opcode.CONV: Engine.CALC, Opcode.VECTOR: Engine.CALC,
        }.get(self)


class Memory(enum.IntEnum):
    """On-chip memories that LOAD writes."""

    FEATURE = 0
    WEIGHT = 1
    PARAM = 2
    TABLE = 3


class Region(enum.IntEnum):
    """DRAM regions; each has a base address register."""

    WEIGHTS = 0
    INPUT = 1
    OUTPUT = 2
    SCRATCH = 3


class VectorOp(enum.IntEnum):
    """What a VECTOR instruction makes of the rows of one group."""

    MAX = 0
    SUM = 1
    PRODUCT = 2
    PRELU = 3
    TABLE = 4


class Products(enum.IntEnum):
    """What the products of a CONV belong to."""

    ONE = 0
    BLOCKS = 1
    TAPS = 2
    SECOND = 3

    @property
    def pairs(self) -> bool:
        """Whether a multiplier makes two at a time."""
        return self in (Products.BLOCKS, Products.TAPS)

    @property
    def targets(self) -> tuple[int, ...]:
        """Accumulators that they are added to: 0 the first, 1 those of the second of two blocks."""
        return {Products.BLOCKS: (0, 1), Products.SECOND: (1,)}.get(self, (0,))


@dataclass(frozen=True)
class Field:
    """One field of an instruction, least significant field first.

    Parameters
    ----------
    name : str
        Field name, unique in its instruction.
    width : int
        Bits.
    signed : bool
        Whether the field is two's complement.
    text : str
        Meaning, for the manual.
    """

    name: str
    width: int
    text: str
    signed: bool = False

    @property
    def min(self) -> int:
        """Smallest value."""
        return -(1 << (self.width - 1)) if self.signed else 0

    @property
    def max(self) -> int:
        """Largest value."""
        return (1 << (self.width - (1 if self.signed else 0))) - 1


COMMON_FIELDS = (
    Field("opcode", 4, "what to do"),
    Field("layer", 12, "layer whose counters the instruction adds to"),
    Field("wait", 3, "bit e: take one token posted by engine e before starting"),
    Field("post", 3, "bit e: give one token to engine e when done"),
    Field("fence", 1, "CALC: wait until all earlier results are written"),
    Field("reserved", 4, "zero"),
)

_TRANSFER_FIELDS = (
    Field("memory", 2, "on-chip memory: 0 feature, 1 weight, 2 parameter, 3 table"),
    Field("region", 2, "DRAM region: 0 weights, 1 input, 2 output, 3 scratch"),
    Field("address", 32, "offset in the region, in bytes; a multiple of the bus width"),
    Field("row", 20, "first row of the on-chip memory"),
    Field("row_count", 20, "rows in one line, at least 1"),
    Field("line_count", 16, "lines, at least 1"),
    Field("line_stride", 32, "bytes from line to line in DRAM"),
    Field("row_stride", 20, "rows from line to line on chip"),
)

_LOAD_FIELDS = (
    Field("weight_bits", 3, "weight memory: bits of a code in DRAM, 2 to 7; 0: 8 bits"),
    Field("pairs", 1, "weight memory: a code of it is two, of half the bits each"),
    Field("columns", 12, "weight memory: columns of a row, a beat each, that DRAM holds; 0: all"),
    Field("line_beats", 24, "beats of a line in DRAM; 0: those of its rows"),
    Field("kernel_lines", 6, "feature memory: lines of the kernel to unroll; 0: copy rows"),
    Field("stride_lines", 6, "unroll: lines from one line of positions to the next, at least 1"),
    Field("lines_above", 6, "unroll: lines of the first kernel above those in DRAM: zeros"),
    Field("map_lines", 12, "unroll: lines in DRAM, at least 1; below them are zeros"),
    Field("map_beats", 12, "unroll: beats of a line in DRAM"),
    Field("segment", 12, "unroll: bytes of a kernel line"),
    Field("advance", 12, "unroll: bytes of the map from one position to the next"),
    Field("before", 12, "unroll: bytes of the first kernel before the line: zeros"),
    Field("positions", 12, "unroll: positions in a line"),
    Field("fill", 12, "unroll: bytes of zeros behind the kernel, up to a whole row"),
)

UNROLL_FIELDS = (
    "kernel_lines", "stride_lines", "lines_above", "map_lines", "map_beats", "segment", "advance",
    "before", "positions", "fill")
"""Fields of LOAD that say how kernel taps become lanes."""

_CALC_FIELDS = (
    Field("word", 19, "first word read from feature memory", signed=False),
    Field("y", 12, "first input line", signed=True),
    Field("x", 12, "first input column", signed=True),
    Field("height", 12, "input lines; others read as padding"),
    Field("width", 12, "input columns; others read as padding"),
    *(
        field
        for level in range(LEVELS)
        for field in (
            Field(f"count_{level}", 12, f"iterations of loop {level} (0 is the innermost)"),
            Field(f"word_{level}", 20, f"words added when loop {level} advances", signed=True),
            Field(f"y_{level}", 12, f"lines added when loop {level} advances", signed=True),
            Field(f"x_{level}", 12, f"columns added when loop {level} advances", signed=True),
        )
    ),
    Field("row", 19, "first row written to feature memory"),
    Field("row_step", 11, "rows from one result to the next"),
    Field("gap", 6, "idle cycles after each group (the two innermost loops)"),
    Field("signed", 1, "data read is two's complement"),
    Field("lo", 17, "lower bound of a result, as a code", signed=True),
)

_CONV_FIELDS = (
    Field("weight_row", 16, "weight tile of the first pass; each pass takes the next"),
    Field("param_row", 12, "row of parameter memory: biases, shifts and upper bounds"),
    Field("init", 1, "first pass starts from the biases, not from the accumulators"),
    Field("finish", 1, "last pass writes results, not accumulators"),
    Field("depthwise", 1, "output lanes take the last codes of their own lane along loop 0"),
    Field("warm", 4, "depthwise, two taps: steps of a run of loop 0 before its first result"),
    Field("skip", 3, "depthwise: steps between two results of a run of loop 0"),
    Field("wrap", 3, "depthwise: first steps of a run that end windows of the run before"),
    Field("pool_kernel", 2, "pooling: lines and columns of a window, less one"),
    Field("pool_stride", 2, "pooling: lines and columns from window to window, less one"),
    Field("pool_x", 2, "pooling: columns of a window before the first one"),
    Field("pool_y", 2, "pooling: lines of a window before the first one"),
    Field("pool_first", 1, "pooling: no earlier CONV has lines of the first window"),
    Field("pool_right", 1, "pooling: the last column ends a window, however wide"),
    Field("pool_bottom", 1, "pooling: the last line ends a window, however high"),
    Field("pool_row", 9, "pooling: first row of the line buffer"),
    Field("products", 2, "of a multiplier: 0 one, 1 two of two output blocks, 2 two of two taps, "
          "3 one of the second of two blocks"),
    Field("wide", 1, "depthwise: one tap, whose weight is two codes, the low one first"),
)

_VECTOR_FIELDS = (
    Field("hi", 17, "upper bound of a result, as a code", signed=True),
    Field("op", 3, "0 maximum, 1 sum, 2 product, 3 slope where negative, 4 table"),
    Field("hold", 1, "the second operand is one row, read before the first step"),
    Field("word_b", 19, "hold: word of that row"),
    Field("table", 2, "table: row of table memory"),
    Field("signed_b", 1, "second operands are two's complement (first ones: signed)"),
    Field("shift_a", 4, "left shift of the first operands, in bits"),
    Field("shift_b", 4, "left shift of the second operands, in bits; table: bits below an index"),
    Field("shift", 5, "right shift of the result, in bits"),
    Field("divide", 1, "divide the sum by the number of counted positions"),
    Field("count_pad", 1, "count padding positions too"),
    Field("count_height", 12, "lines below this are counted"),
    Field("count_width", 12, "columns left of this are counted"),
)

PARAM_FIELDS = (
    Field("bias", 40, "what the accumulators of the channel start from", signed=True),
    Field("shift", 8, "right shift of a result, 0 to 31 bits"),
    Field("upper", 16, "upper bound of a result, as a code whose sign is that of `lo`"),
)
"""What parameter memory holds for an output lane, least significant field first."""

_FIELDS = {
    Opcode.END: COMMON_FIELDS,
    Opcode.LOAD: COMMON_FIELDS + _TRANSFER_FIELDS + _LOAD_FIELDS,
    Opcode.SAVE: COMMON_FIELDS + _TRANSFER_FIELDS,
    Opcode.CONV: COMMON_FIELDS + _CALC_FIELDS + _CONV_FIELDS,
    Opcode.VECTOR: COMMON_FIELDS + _CALC_FIELDS + _VECTOR_FIELDS,
}


def fields_of(opcode: Opcode) -> tuple[Field, ...]:
    """Return the fields of an instruction, least significant first."""
    return _FIELDS[opcode]


def group_steps(values: Mapping[str, int]) -> int:
    """Return the steps of one group of a CALC instruction."""
    return values["count_0"] * values["count_1"] + values.get("wrap", 0)


def conv_results(values: Mapping[str, int]) -> int:
    """Return the positions of one group of a CONV: all its steps, but those that warm up."""
    if not (values.get("depthwise") or values.get("products") == Products.TAPS):
        return group_steps(values)
    runs = 1 if values.get("wrap") else values["count_1"]
    steps = group_steps(values) // runs
    return runs * max(0, (steps - values["warm"] - 1) // (values["skip"] + 1) + 1)


def is_pooled(values: Mapping[str, int]) -> bool:
    """Return whether the results of a CONV are pooled."""
    return bool(values.get("pool_kernel") or values.get("pool_stride"))


def pool_ends(
    count: int, *, kernel: int, stride: int, before: int, first: bool, last: bool
) -> list[int]:
    """Return the lines, or columns, that end a window of a pooling.

    Parameters
    ----------
    count : int
        Lines or columns.
    kernel, stride : int
        Those of a window, and from window to window; ``kernel <= stride + 1``.
    before : int
        Lines or columns of a window before the first one.
    first : bool
        Whether nothing that came before belongs to a window.
    last : bool
        Whether the last one ends a window that is not complete.
    """
    phases = [(before + number) % stride for number in range(count)]
    if kernel > stride:
        ends = [number for number, phase in enumerate(phases) if phase == 0]
        if first and ends and ends[0] == 0:
            del ends[0]
    else:
        ends = [number for number, phase in enumerate(phases) if phase == kernel - 1]
    if last and count and (not ends or ends[-1] != count - 1):
        ends.append(count - 1)
    return ends


def conv_rows(values: Mapping[str, int]) -> int:
    """Return the rows that a CONV with ``finish`` writes for a block: its results, or maxima."""
    results = conv_results(values)
    if not is_pooled(values):
        return results
    size = {"kernel": values["pool_kernel"] + 1, "stride": values["pool_stride"] + 1}
    lines = pool_ends(
        values["count_1"], **size, before=values["pool_y"], first=bool(values["pool_first"]),
        last=bool(values["pool_bottom"]))
    columns = pool_ends(
        results // values["count_1"], **size, before=values["pool_x"], first=True,
        last=bool(values["pool_right"]))
    return len(lines) * len(columns)


def _pack(fields: Iterable[Field], values: Mapping[str, int], what: str) -> int:
    word = position = 0
    left = dict(values)
    for field in fields:
        value = int(left.pop(field.name, 0))
        if not field.min <= value <= field.max:
            raise ValueError(
                f"{what} field {field.name!r} must be in {field.min}..{field.max}, not {value}")
        word |= (value & ((1 << field.width) - 1)) << position
        position += field.width
    if left:
        raise ValueError(f"{what} has no field {sorted(left)[0]!r}")
    return word


def _unpack(fields: Iterable[Field], word: int) -> dict[str, int]:
    values = {}
    for field in fields:
        value = word & ((1 << field.width) - 1)
        if field.signed and value >> (field.width - 1):
            value -= 1 << field.width
        values[field.name] = value
        word >>= field.width
    return values


def encode(opcode: Opcode, values: Mapping[str, int]) -> bytes:
    """Assemble one instruction.

    Parameters
    ----------
    opcode : Opcode
        What to do.
    values : mapping from field name to int
        Field values; those left out are zero. ``opcode`` itself need not be given.

    Returns
    -------
    bytes, :data:`INSTRUCTION_SIZE` long
        Little-endian instruction.

    Raises
    ------
    ValueError
        If a value is outside its field, or a field does not exist.
    """
    word = _pack(fields_of(opcode), {**values, "opcode": opcode}, opcode.name)
    return word.to_bytes(INSTRUCTION_SIZE, "little")


def decode(instruction: bytes) -> tuple[Opcode, dict[str, int]]:
    """Disassemble one instruction; inverse of :func:`encode`."""
    if len(instruction) != INSTRUCTION_SIZE:
        raise ValueError(
            f"An instruction must be {INSTRUCTION_SIZE} bytes, not {len(instruction)}")
    word = int.from_bytes(instruction, "little")
    opcode = Opcode(word & 0xF)
    return opcode, _unpack(fields_of(opcode), word)


HEADER_FIELDS = (
    Field("magic", 32, "DYNX"),
    Field("version", 32, "version of the instruction set"),
    Field("config_hash", 64, "hash of the config that the program was made for"),
    Field("instruction_count", 32, "instructions that follow, END included"),
)


def encode_header(*, config_hash: int, instruction_count: int) -> bytes:
    """Return the header of a program, as long as one instruction."""
    word = _pack(HEADER_FIELDS, {
        "magic": MAGIC, "version": ISA_VERSION, "config_hash": config_hash,
        "instruction_count": instruction_count,
    }, "Header")
    return word.to_bytes(INSTRUCTION_SIZE, "little")


def decode_header(header: bytes) -> dict[str, int]:
    """Return the fields of a program's header."""
    return _unpack(HEADER_FIELDS, int.from_bytes(header[:INSTRUCTION_SIZE], "little"))
