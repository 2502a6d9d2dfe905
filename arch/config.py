"""Parameters of one accelerator."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .config_rules import check_rules
from .formats import Rounding


__all__ = (
    "CHUNK_BEATS",
    "PRESETS",
    "TABLES",
    "TABLE_SEGMENTS",
    "AcceleratorConfig",
    "preset",
)


CHUNK_BEATS = 4
"""Beats of 8-bit codes that narrow weight codes become at a time; their places in DRAM count in
such chunks."""

TABLES = 4
"""Tables that are on chip at the same time, a row of table memory each."""

TABLE_SEGMENTS = 256
"""Entries of a table of 8-bit data; of 16-bit data, segments of two entries each."""


_LATER = (
    "in_order", "address_bits", "loop_bits", "packed_weights", "vector_unit", "requantizer_lanes",
    "wire_registers")
"""Parameters that came when programs and hardware of version 3 were already there."""


@dataclass(frozen=True)
class AcceleratorConfig:
    """Everything that a program and the accelerator that runs it must agree on.

    A *word* is ``in_lanes`` data codes, what the array reads per cycle. A *row* is ``out_lanes``
    data codes, what it writes per cycle; feature memory is organized in rows.

    Parameters
    ----------
    name : str
        Name for messages; not part of the hash.
    in_lanes : int
        Input channels per cycle; a power of two.
    out_lanes : int
        Output channels per cycle; a power of two, at least ``in_lanes``.
    data_bits : int
        Width of a data code, in bits; 8 or 16.
    weight_bits : int
        Width of a weight code, in bits; 8, or 16 with 16-bit data.
    dual_products : bool
        Whether a multiplier can make two products per cycle of one data code with two weights of
        at most 4 bits; for 8-bit data and 8-bit weights. A row of accumulators is twice as wide
        then.
    acc_bits : int
        Width of an accumulator, in bits; 24 or 32 with 8-bit data, 48 with 16-bit data.
    feature_depth : int
        Rows of feature memory; a power of two.
    feature_banks : int
        Banks of feature memory, taken by the upper bits of a row number; a power of two.
    weight_depth : int
        Rows of weight memory; a row is one weight tile of ``in_lanes * out_lanes`` codes.
    param_depth : int
        Rows of parameter memory; a row is bias, shift and upper bound of ``out_lanes``
        output channels.
    unroll_size : int
        Bytes of the lines from which LOAD makes the taps of the first convolution into channels;
        a power of two, at least four beats. 0 leaves that out, and the host does it.
    depthwise_taps : int
        Codes of a lane that a depthwise convolution multiplies per cycle, at most 16; more than
        ``in_lanes`` are of no use. 0 leaves the window of codes out, and depthwise convolutions
        run as dense ones.
    pool_depth : int
        Rows of the line buffer in which results of a convolution are pooled; a power of two in
        16..512. 0 leaves the pooling of results out, and every pooling reads a stored map.
    acc_depth : int
        Rows of accumulator memory, one pixel position each; a power of two.
    table_lanes : int
        Codes that are looked up in a table per cycle; a power of two, at most ``out_lanes``. 0
        leaves tables out, and with them functions such as Sigmoid.
    layer_depth : int
        Layers that the counters can tell apart; a power of two. 0 leaves out all counters but that
        of the cycles of a run.
    dram_width : int
        Bytes in one beat of the AXI4 data bus; a power of two, at least 4.
    burst_length : int
        Longest AXI4 burst, in beats; a power of two, at most 256.
    rounding : Rounding
        Rounding rule of the requantizer.
    in_order : bool
        Whether one instruction runs after the other: no queues, no tokens, one burst at a time.
    address_bits : int
        Bits of a byte address in DRAM; fewer than 32 only with ``in_order``.
    loop_bits : int
        Bits of the loop counts, sizes and, with their sign, coordinates of CALC instructions.
    packed_weights : bool
        Whether LOAD widens weights that have fewer bits in DRAM than on chip.
    vector_unit : bool
        Whether there is an engine for VECTOR instructions; without it the accelerator runs
        convolutions, and the maximum poolings that are done with them.
    requantizer_lanes : int
        Codes requantized per cycle; a power of two. 0 are all of a row. Fewer need ``in_order``.
    wire_registers : bool
        Whether registers more lie on the ways to feature memory and to the array, which are long
        where lanes fill a large chip. Results come some cycles later then; not with ``in_order``.

    Raises
    ------
    TypeError
        If a parameter is of another type.
    ValueError
        If a parameter breaks its rule.
    """

    name: str
    in_lanes: int = 8
    out_lanes: int = 16
    data_bits: int = 8
    weight_bits: int = 8
    dual_products: bool = False
    acc_bits: int = 32
    unroll_size: int = 0
    depthwise_taps: int = 4
    pool_depth: int = 512
    feature_depth: int = 8192
    feature_banks: int = 4
    weight_depth: int = 1024
    param_depth: int = 128
    acc_depth: int = 1024
    table_lanes: int = 4
    layer_depth: int = 128
    dram_width: int = 8
    burst_length: int = 128
    rounding: Rounding = Rounding.HALF_EVEN
    in_order: bool = False
    address_bits: int = 32
    loop_bits: int = 12
    packed_weights: bool = True
    vector_unit: bool = True
    requantizer_lanes: int = 0
    wire_registers: bool = False

    def __post_init__(self) -> None:
        """Check types, then every rule."""
        if not isinstance(self.name, str):
            raise TypeError(f"name must be a string, not {self.name!r}")
        for known in dataclasses.fields(self):
            value = getattr(self, known.name)
            if known.type is int and type(value) is not int:
                raise TypeError(f"{known.name} must be an integer, not {value!r}")
            if known.type is bool and type(value) is not bool:
                raise TypeError(f"{known.name} must be true or false, not {value!r}")
        check_rules(self)
        object.__setattr__(self, "rounding", Rounding(self.rounding))

    @property
    def multipliers(self) -> int:
        """Multipliers of the array."""
        return self.in_lanes * self.out_lanes

    @property
    def requantizer_steps(self) -> int:
        """Cycles in which the codes of a row are requantized."""
        return self.out_lanes // self.requantizer_lanes if self.requantizer_lanes else 1

    @property
    def code_size(self) -> int:
        """Bytes of a data code."""
        return self.data_bits // 8

    @property
    def weight_size(self) -> int:
        """Bytes of a weight code."""
        return self.weight_bits // 8

    @property
    def window_taps(self) -> int:
        """Codes of a lane in the window of a depthwise convolution."""
        return min(self.depthwise_taps, self.in_lanes)

    @property
    def words_per_row(self) -> int:
        """Words in one row of feature memory."""
        return self.out_lanes // self.in_lanes

    @property
    def feature_words(self) -> int:
        """Words of feature memory."""
        return self.feature_depth * self.words_per_row

    @property
    def row_size(self) -> int:
        """Bytes in one row of feature memory."""
        return self.out_lanes * self.code_size

    @property
    def weight_row_size(self) -> int:
        """Bytes in one row of weight memory."""
        return self.multipliers * self.weight_size

    @property
    def weight_columns(self) -> int:
        """Beats of a row of weight memory that narrow weights fill per cycle."""
        if not self.unpacks_weights:
            return 1
        return min(CHUNK_BEATS, self.weight_row_size // self.dram_width)

    @property
    def unpacks_weights(self) -> bool:
        """Whether weights can have fewer bits in DRAM than on chip, where they have 8."""
        return self.packed_weights and self.weight_bits == 8

    def factor_bits(self, shift: int) -> int:
        """Return the bits of the weights that shift codes left on their way to the accumulators.

        Parameters
        ----------
        shift : int
            Left shift, in bits.

        Returns
        -------
        int
            :attr:`weight_bits`, or twice that where one is too few and the window of a depthwise
            convolution can take two weights as one. The largest power of two has two bits less.
        """
        pairs = self.weight_bits == 8 and self.window_taps > 1
        return 16 if pairs and shift > self.weight_bits - 2 else self.weight_bits

    def stored_bits(self, bits: int) -> int:
        """Return the bits in DRAM of a weight code of ``bits``: packed beside 8-bit ones only."""
        return bits if self.unpacks_weights else self.weight_bits

    def stored_columns(self, lanes: int, bits: int) -> int:
        """Return the columns of a row of weight memory that hold the weights of some output lanes.

        A column is a beat on chip. Narrow weights fill :attr:`weight_columns` of them at a time.

        Parameters
        ----------
        lanes : int
            Output lanes with weights; the others are the last ones.
        bits : int
            Bits of a code.
        """
        step = self.weight_columns if bits < self.weight_bits else 1
        size = lanes * self.in_lanes * self.weight_size
        return -(-size // (step * self.dram_width)) * step

    def packed_size(self, rows: int, bits: int, columns: int = 0) -> int:
        """Return the bytes in DRAM of rows of weight memory, padded to whole beats.

        Codes narrower than :attr:`weight_bits` lie close together and come in whole chunks of
        :data:`CHUNK_BEATS` beats of codes on chip.

        Parameters
        ----------
        rows : int
            Rows, one after the other.
        bits : int
            Bits of a code.
        columns : int
            Columns of a row that are stored; all when left out.
        """
        size = rows * (columns * self.dram_width or self.weight_row_size)
        if bits == self.weight_bits:
            return size
        chunks = -(-size // (CHUNK_BEATS * self.dram_width))
        return -(-chunks * CHUNK_BEATS * bits // self.weight_bits) * self.dram_width

    @property
    def param_row_size(self) -> int:
        """Bytes in one row of parameter memory: 8 for each output lane."""
        return self.out_lanes * 8

    @property
    def table_entry_size(self) -> int:
        """Bytes of an entry of a table in DRAM, two's complement, ``data_bits + 1`` bits used."""
        return 2 * self.code_size

    @property
    def table_entries(self) -> int:
        """Entries of a table: a result for each code, or base and slope of each segment."""
        return TABLE_SEGMENTS * self.code_size

    @property
    def table_size(self) -> int:
        """Bytes in one row of table memory: one table."""
        return self.table_entries * self.table_entry_size

    @property
    def table_steps(self) -> int:
        """Steps in which the codes of a row are looked up: all entries, few lanes at a time."""
        return self.out_lanes // self.table_lanes * self.code_size

    @property
    def hash(self) -> int:
        """64-bit digest of everything but the name; programs and hardware must carry the same.

        A parameter of :data:`_LATER` counts where it is not what it was before there was a choice.
        """
        from .isa import ISA_VERSION
        fields = self.to_json()
        del fields["name"]
        for known in dataclasses.fields(self):
            if known.name in _LATER and fields[known.name] == known.default:
                del fields[known.name]
        text = json.dumps([ISA_VERSION, fields], sort_keys=True)
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")

    def to_json(self) -> dict[str, Any]:
        """Return all parameters as plain values."""
        return {**dataclasses.asdict(self), "rounding": str(self.rounding)}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "AcceleratorConfig":
        """Inverse of :meth:`to_json`; ``ValueError`` names an unknown parameter."""
        known = {field.name for field in dataclasses.fields(cls)}
        for name in fields:
            if name not in known:
                raise ValueError(f"{name!r} is not a parameter; known are {sorted(known)}")
        return cls(**fields)


PRESETS = {
    config.name: config
    for config in (
        AcceleratorConfig(
            "tiny", in_lanes=2, out_lanes=4, feature_depth=4096, feature_banks=2,
            weight_depth=1024, param_depth=64, acc_depth=128, table_lanes=1, dram_width=4,
        ),
        AcceleratorConfig(
            "small", in_lanes=4, out_lanes=8, feature_depth=8192, weight_depth=1024,
            acc_depth=512, table_lanes=2, unroll_size=4096,
        ),
        AcceleratorConfig(
            "up5k", in_lanes=2, out_lanes=4, acc_bits=24, depthwise_taps=0, pool_depth=32,
            feature_depth=1024, feature_banks=1, weight_depth=256, param_depth=16, acc_depth=128,
            table_lanes=0, layer_depth=0, dram_width=4, in_order=True, address_bits=17,
            loop_bits=6, packed_weights=False, vector_unit=False, requantizer_lanes=1,
        ),
        AcceleratorConfig("ecp5_85f"),
        AcceleratorConfig(
            "large", in_lanes=32, out_lanes=32, feature_depth=16384, weight_depth=1024,
            acc_depth=1024, table_lanes=8, dram_width=32,
        ),
        AcceleratorConfig(
            "large16", in_lanes=32, out_lanes=32, data_bits=16, weight_bits=16, acc_bits=48,
            feature_depth=16384, weight_depth=512, acc_depth=1024, dram_width=32,
        ),
    )
}


def preset(name: str) -> AcceleratorConfig:
    """Return the preset called ``name``; ``ValueError`` lists those that exist."""
    if name not in PRESETS:
        raise ValueError(f"Config must be one of {', '.join(PRESETS)}, not {name!r}")
    return PRESETS[name]
