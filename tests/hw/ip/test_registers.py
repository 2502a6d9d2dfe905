"""The register map for software: what the C compiler and JSON readers see."""

import json
import subprocess

import pytest

from arch.config import preset
from arch.isa import ISA_VERSION, MAGIC, Engine, Region
from arch.registers import COUNTERS, ERROR_SOURCES, ERROR_TEXTS, REGISTERS, Error
from hw.ip import description, register_header


@pytest.fixture(scope="module")
def values(tmp_path_factory):
    """Return a function of macros that gives the numbers that the C compiler sees."""
    folder = tmp_path_factory.mktemp("header")
    config = preset("large16")
    (folder / "dynafix_regs.h").write_text(register_header(config))

    def run(names):
        prints = "".join(f'    printf("%u\\n", {name});\n' for name in names)
        (folder / "main.c").write_text(
            '#include <stdio.h>\n#include "dynafix_regs.h"\n#include "dynafix_regs.h"\n'
            f"int main(void)\n{{\n{prints}    return 0;\n}}\n")
        subprocess.run(
            ["cc", "-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic",
             str(folder / "main.c"), "-o", str(folder / "main")], check=True)
        out = subprocess.run([str(folder / "main")], check=True, capture_output=True, text=True)
        return [int(line) for line in out.stdout.split()]
    return run


def test_numbers(values):
    config = preset("large16")
    expected = {
        "DYNAFIX_ID": MAGIC, "DYNAFIX_ISA_VERSION": ISA_VERSION, "DYNAFIX_ALIGNMENT": 64,
        "DYNAFIX_CONFIG_HASH_LO": config.hash & 0xFFFFFFFF,
        "DYNAFIX_CONFIG_HASH_HI": config.hash >> 32,
        "DYNAFIX_REGION_COUNT": len(Region), "DYNAFIX_COUNTER_COUNT": len(COUNTERS)}
    for entry in REGISTERS:
        expected[f"DYNAFIX_REG_{entry.name}"] = entry.offset
        for field in entry.fields:
            expected[f"DYNAFIX_{entry.name}_{field.name}"] = field.first
            expected[f"DYNAFIX_{entry.name}_{field.name}_MASK"] = field.mask
    expected |= {f"DYNAFIX_REGION_{region.name}": region.value for region in Region}
    expected |= {f"DYNAFIX_ENGINE_{engine.name}": engine.value for engine in Engine}
    expected |= {f"DYNAFIX_ERROR_IS_{error.name}": error.value for error in Error}
    expected |= {f"DYNAFIX_COUNTER_{name.upper()}": n for n, name in enumerate(COUNTERS)}
    assert dict(zip(expected, values(expected), strict=True)) == expected


def test_names_are_used_once():
    lines = register_header(preset("tiny")).splitlines()
    names = [line.split()[1] for line in lines if line.startswith("#define")]
    assert len(set(names)) == len(names)


def test_description():
    config = preset("small")
    found = json.loads(json.dumps(description(config)))
    assert found["registers"]["LIMIT"] == 0x50
    assert found["fields"]["ERROR_ENGINE"] == {"first": 8, "mask": 0xF00}
    assert found["config_hash"] == f"{config.hash:#018x}"
    assert found["errors"] == [ERROR_TEXTS[error] for error in Error]
    assert found["error_sources"] == list(ERROR_SOURCES)
