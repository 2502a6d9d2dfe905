"""Write the tables of ``docs/`` that are made from ``arch/``.

A table stands between the lines ``<!-- generated: NAME -->`` and ``<!-- end -->``; the rest of
a page is written by hand and stays.
"""

import argparse
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from arch import isa, registers, serial, timing
from arch.config import PRESETS


__all__ = (
    "main",
    "render",
    "tables",
)


DOCS = Path(__file__).resolve().parents[1] / "docs"
_BLOCK = re.compile(r"(<!-- generated: (?P<name>[^>]+?) -->\n).*?(<!-- end -->)", re.DOTALL)


def _table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(str(cell) for cell in line)} |\n" for line in lines)


def _fields(fields: Iterable[isa.Field], position: int = 0) -> str:
    rows = []
    for field in fields:
        last = position + field.width - 1
        bits = f"{last}..{position}" if field.width > 1 else position
        rows.append((f"`{field.name}`", bits, "signed" if field.signed else "", field.text))
        position = last + 1
    return _table(("field", "bits", "", "meaning"), rows)


def _frame(fields: Iterable[serial.FrameField]) -> str:
    return _table(("field", "bytes", "meaning"), [
        (f"`{field.name}`", field.size or "`length`", field.text) for field in fields])


def tables() -> dict[str, str]:
    """Return every table by its name, as Markdown."""
    common = sum(field.width for field in isa.COMMON_FIELDS)
    own = {
        f"fields {opcode.name}": _fields(
            isa.fields_of(opcode)[len(isa.COMMON_FIELDS):], common)
        for opcode in (isa.Opcode.LOAD, isa.Opcode.CONV, isa.Opcode.VECTOR)
    }
    engines = [
        (engine.name, engine.value, ", ".join(op.name for op in isa.Opcode if op.engine is engine))
        for engine in isa.Engine
    ]
    opcodes = [(f"`{opcode.name}`", opcode.value) for opcode in isa.Opcode]
    presets = [
        (f"`{config.name}`", f"{config.in_lanes} × {config.out_lanes}",
         f"{config.data_bits} × {config.weight_bits}",
         config.feature_depth * config.row_size // 1024,
         config.weight_depth * config.weight_row_size // 1024,
         config.acc_depth, config.table_lanes, config.dram_width)
        for config in PRESETS.values()
    ]
    return {
        **own,
        "common": _fields(isa.COMMON_FIELDS),
        "header": _fields(isa.HEADER_FIELDS),
        "engines": _table(("engine", "number", "instructions"), engines),
        "opcodes": _table(("instruction", "opcode"), opcodes),
        "memories": _table(
            ("on-chip memory", "number"), [(m.name.lower(), m.value) for m in isa.Memory]),
        "regions": _table(
            ("DRAM region", "number"), [(r.name.lower(), r.value) for r in isa.Region]),
        "rules": _table(("rule", "value"), [
            ("fewest cycles of a pass of CONV with more than one step, gap included",
             timing.MIN_GROUP),
            *(
                (f"fewest cycles of a group of VECTOR that divides, gap included, {bits}-bit data",
                 timing.divide_group(bits)) for bits in (8, 16)),
            ("instructions that wait in front of an engine", timing.QUEUE_DEPTH),
            ("most tokens that a counter holds", timing.TOKEN_COUNT)]),
        "registers": _table(("register", "offset", "access", "meaning"), [
            (f"`{r.name}`", f"0x{r.offset:02X}", r.access, r.meaning)
            for r in registers.REGISTERS]),
        "errors": _table(
            ("error", "code"), [(e.name.lower(), e.value) for e in registers.Error]),
        "serial request": _frame(serial.REQUEST_FIELDS),
        "serial answer": _frame(serial.ANSWER_FIELDS),
        "serial info": _frame(serial.INFO_FIELDS),
        "serial commands": _table(("command", "number", "meaning"), [
            (f"`{command.name}`", command.value, serial.COMMAND_TEXTS[command])
            for command in serial.Command]),
        "serial statuses": _table(("status", "number", "meaning"), [
            (f"`{status.name}`", status.value, serial.STATUS_TEXTS[status])
            for status in serial.Status]),
        "presets": _table(
            ("preset", "multipliers", "bits", "feature memory, KB", "weight memory, KB",
             "accumulator rows", "lookups per cycle", "bus, bytes"), presets),
    }


def render(text: str) -> str:
    """Return a page with its tables made anew; ``KeyError`` names a table that does not exist."""
    made = tables()
    return _BLOCK.sub(lambda match: match[1] + made[match["name"]] + match[3], text)


def main() -> None:
    """Rewrite the pages that changed and name them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.parse_args()
    for page in sorted(DOCS.rglob("*.md")):
        text = page.read_text(encoding="utf-8")
        made = render(text)
        if made != text:
            page.write_text(made, encoding="utf-8")
            print(page.relative_to(DOCS.parent))


if __name__ == "__main__":
    main()
