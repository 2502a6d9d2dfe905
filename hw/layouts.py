"""Layouts of what moves between components: instructions, beats, requests, strobes."""

from amaranth import *
from amaranth.lib import data

from arch.isa import HEADER_FIELDS, INSTRUCTION_SIZE, Engine, Opcode, Region, fields_of


__all__ = (
    "Done",
    "ErrorStrobe",
    "Request",
    "Response",
    "Status",
    "Waiting",
    "BASES_LAYOUT",
    "HEADER_LAYOUT",
    "bases_layout",
    "beats_per_row",
    "common_fields",
    "engine_opcodes",
    "index_width",
    "instruction_layout",
    "layout_of",
    "read_beat_layout",
    "save_beat_layout",
    "write_beat_layout",
)


def bases_layout(address_bits):
    """Return the layout of the byte addresses of all regions."""
    return data.ArrayLayout(address_bits, len(Region))


BASES_LAYOUT = bases_layout(32)

HEADER_LAYOUT = data.StructLayout({field.name: field.width for field in HEADER_FIELDS})


class Request(data.Struct):
    """One AXI4 burst: byte address and number of beats less one."""

    address: 32
    length: 8


class Response(data.Struct):
    """Answer to one burst of writes."""

    resp: 2


class Done(data.Struct):
    """Strobe of an engine: one instruction has had all its effects."""

    valid: 1
    layer: 12
    post: 3


class Status(data.Struct):
    """What an engine does in this cycle.

    ``busy``: an instruction of ``layer`` runs. ``moved``: one beat or word of it moved. ``stall``:
    busy and nothing moved.
    """

    layer: 12
    busy: 1
    stall: 1
    moved: 1


class Waiting(data.Struct):
    """Whether the next instruction of an engine lacks a token in this cycle, and its layer."""

    valid: 1
    layer: 12


class ErrorStrobe(data.Struct):
    """Strobe with a code of :class:`arch.registers.Error`."""

    valid: 1
    code: 8


def layout_of(opcode, *names):
    """Return the layout of the instruction ``opcode``, from the table in :mod:`arch.isa`.

    With ``names``, only the fields of these names, packed.
    """
    return data.StructLayout({
        field.name: signed(field.width) if field.signed else unsigned(field.width)
        for field in fields_of(opcode) if not names or field.name in names
    })


def index_width(config):
    """Return the bits of a number of instructions: of as many as can be addressed, if few."""
    if config.address_bits == 32:
        return 32
    return config.address_bits - (INSTRUCTION_SIZE - 1).bit_length()


def engine_opcodes(config):
    """Return the opcodes that an engine of the accelerator runs."""
    return [
        entry for entry in Opcode if entry.engine is not None
        and (entry != Opcode.VECTOR or config.vector_unit)]


def instruction_layout(engine):
    """Return the layout of an engine's instruction stream.

    LOAD and SAVE have one kind of instruction each; for CALC it is a union of ``conv`` and
    ``vector``, told apart by ``opcode``, which both have in the same place.
    """
    match engine:
        case Engine.LOAD:
            return layout_of(Opcode.LOAD)
        case Engine.SAVE:
            return layout_of(Opcode.SAVE)
        case Engine.CALC:
            return data.UnionLayout({
                "conv": layout_of(Opcode.CONV),
                "vector": layout_of(Opcode.VECTOR),
            })


def common_fields(instruction):
    """Return the fields that every instruction has, as a view of ``instruction``."""
    layout = layout_of(Opcode.END)
    return data.View(layout, Value.cast(instruction)[:layout.size])


def beats_per_row(config):
    """Return the beats in one row of feature, weight, parameter and, if any, table memory."""
    sizes = [config.row_size, config.weight_row_size, config.param_row_size]
    if config.table_lanes:
        sizes.append(config.table_size)
    return tuple(size // config.dram_width for size in sizes)


def write_beat_layout(config):
    """Return the layout of one beat on its way into an on-chip memory.

    ``column`` counts the beats of a row, lowest bytes first. With ``wide``, ``data`` is for as many
    columns as it has beats, from ``column`` on; else all its beats are the same.
    """
    column_width = max(1, (max(beats_per_row(config)) - 1).bit_length())
    return data.StructLayout({
        "memory": 2,
        "row": 20,
        "column": column_width,
        "wide": 1,
        "data": config.weight_columns * config.dram_width * 8,
    })


def read_beat_layout(config):
    """Return the layout of one beat of an AXI4 read burst."""
    return data.StructLayout({"data": config.dram_width * 8, "resp": 2, "last": 1})


def save_beat_layout(config):
    """Return the layout of one beat of an AXI4 write burst."""
    return data.StructLayout({"data": config.dram_width * 8, "last": 1})
