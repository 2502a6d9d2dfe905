"""The register map for software: as a C header, and as plain values for JSON."""

from typing import Any

from arch.config import AcceleratorConfig
from arch.isa import INSTRUCTION_SIZE, ISA_VERSION, MAGIC, Engine, Region
from arch.registers import COUNTERS, ERROR_SOURCES, ERROR_TEXTS, REGISTERS, Error


__all__ = (
    "description",
    "register_header",
)


def _define(name: str, value: str, text: str = "") -> str:
    line = f"#define DYNAFIX_{name:24} {value}"
    return f"{line:48} /* {text} */" if text else line


def register_header(config: AcceleratorConfig) -> str:
    """Return the C header ``dynafix_regs.h`` of an accelerator.

    ``DYNAFIX_REG_<NAME>`` is the byte offset of a register, ``DYNAFIX_<REGISTER>_<FIELD>`` the
    lowest bit and ``…_MASK`` the bits of a part of it. Error codes, engines, regions and the
    values that ID, VERSION and HASH must have follow.

    Parameters
    ----------
    config : AcceleratorConfig
        Gives the hash.

    Source: :mod:`arch.registers` and :mod:`arch.isa`.
    """
    lines = [
        "/* Registers of the dynafix accelerator. Generated from arch/; do not edit. */",
        "#ifndef DYNAFIX_REGS_H", "#define DYNAFIX_REGS_H", ""]
    for entry in REGISTERS:
        lines.append(_define(
            f"REG_{entry.name}", f"0x{entry.offset:02X}u", f"{entry.access}: {entry.meaning}"))
    lines.append("")
    for entry in REGISTERS:
        for field in entry.fields:
            name = f"{entry.name}_{field.name}"
            lines.append(_define(name, f"{field.first}u", field.text))
            lines.append(_define(f"{name}_MASK", f"0x{field.mask:08X}u"))
    lines += [
        "",
        _define("ID", f"0x{MAGIC:08X}u", "value of REG_ID"),
        _define("ISA_VERSION", f"{ISA_VERSION}u", "value of REG_VERSION"),
        _define("CONFIG_HASH_LO", f"0x{config.hash & 0xFFFFFFFF:08X}u", "value of REG_HASH_LO"),
        _define("CONFIG_HASH_HI", f"0x{config.hash >> 32:08X}u", "value of REG_HASH_HI"),
        _define("ALIGNMENT", f"{INSTRUCTION_SIZE}u", "of programs and regions, in bytes"),
        _define("REGION_COUNT", f"{len(Region)}u"),
        *(_define(f"REGION_{region.name}", f"{region.value}u") for region in Region),
        *(_define(f"ENGINE_{engine.name}", f"{engine.value}u") for engine in Engine),
        *(_define(f"COUNTER_{name.upper()}", f"{index}u") for index, name in enumerate(COUNTERS)),
        _define("COUNTER_COUNT", f"{len(COUNTERS)}u"),
        *(_define(f"ERROR_IS_{error.name}", f"{error.value}u", ERROR_TEXTS[error])
          for error in Error),
        "", "/* An entry for each error code: its text. */",
        "#define DYNAFIX_ERROR_TEXTS \\",
        *(f'    "{ERROR_TEXTS[error]}", \\' for error in Error)]
    lines[-1] = lines[-1].removesuffix(", \\")
    lines += [
        "", "/* An entry for each engine in REG_ERROR: where the error was seen. */",
        "#define DYNAFIX_ERROR_SOURCES " + ", ".join(f'"{name}"' for name in ERROR_SOURCES),
        "", "#endif", ""]
    return "\n".join(lines)


def description(config: AcceleratorConfig) -> dict[str, Any]:
    """Return the same as plain values: what a driver in another language reads.

    Parameters
    ----------
    config : AcceleratorConfig
        Accelerator.

    Returns
    -------
    dict
        ``id``, ``isa_version``, ``config_hash`` (as in a program's manifest), ``alignment``,
        ``config``, ``registers`` and ``fields`` by name, ``errors`` and ``error_sources`` in the
        order of their codes, ``engines`` and ``counters`` in order.
    """
    return {
        "id": MAGIC, "isa_version": ISA_VERSION, "config_hash": f"{config.hash:#018x}",
        "alignment": INSTRUCTION_SIZE, "config": config.to_json(),
        "registers": {entry.name: entry.offset for entry in REGISTERS},
        "fields": {
            f"{entry.name}_{field.name}": {"first": field.first, "mask": field.mask}
            for entry in REGISTERS for field in entry.fields},
        "errors": [ERROR_TEXTS[error] for error in Error],
        "error_sources": list(ERROR_SOURCES),
        "engines": [engine.name for engine in Engine],
        "counters": list(COUNTERS),
    }
