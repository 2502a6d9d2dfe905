"""Pages that are made from arch/ are up to date; links lead somewhere."""

import importlib.util
import re
from pathlib import Path

import pytest


ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


@pytest.fixture(scope="module")
def generate():
    spec = importlib.util.spec_from_file_location(
        "generate_docs", ROOT / "scripts" / "generate_docs.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_tables_are_up_to_date(generate, page):
    text = page.read_text(encoding="utf-8")
    assert generate.render(text) == text, "run .venv/bin/python scripts/generate_docs.py"


def test_every_table_is_shown(generate):
    shown = set(re.findall(
        r"<!-- generated: (.+?) -->", "".join(page.read_text("utf-8") for page in PAGES)))
    assert shown == generate.tables().keys()


def test_stale_table_is_noticed(generate):
    page = "<!-- generated: header -->\nold\n<!-- end -->\n"
    assert "config_hash" in generate.render(page)
    assert "old" not in generate.render(page)


def test_field_positions(generate):
    # Hand-counted: CONV's `lo` ends where `hi` begins, after 27 + 67 + 5 * 56 bits of other fields.
    lines = generate.tables()["fields CONV"].splitlines()
    assert "| `word` | 45..27 |  | first word read from feature memory |" in lines
    assert "| `y` | 57..46 | signed | first input line |" in lines


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if not target.startswith(("http:", "https:")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_named_files_exist(page):
    # Paths in backticks that look like files of this project.
    text = page.read_text(encoding="utf-8")
    rooms = "arch|compiler|dynafix|docs|hw|quantizer|scripts|sim|tests"
    for target in re.findall(rf"`(?:\./)?((?:{rooms})/[\w./-]+)`", text):
        if page.name != "CHANGELOG.md":
            assert (ROOT / target).exists(), f"{page.name}: {target}"


def _commands():
    for page in PAGES:
        for line in page.read_text(encoding="utf-8").splitlines():
            if match := re.match(r"    (?:\.venv/bin/)?dynafix (\w+)(.*)", line):
                yield pytest.param(match[1], match[2].split(), id=f"{page.name}-{line.strip()}")


@pytest.mark.parametrize(("name", "words"), list(_commands()))
def test_commands_exist(name, words):
    from dynafix.cli import cli

    known = {option for param in cli.commands[name].params for option in param.opts}
    assert {word for word in words if word.startswith("--")} <= known
