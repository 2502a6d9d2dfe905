"""One HTML file out of templates, style, scripts, the chart library and the numbers.

The wheel of plotly holds the whole of plotly.js, 4.8 MB, nearly all that a report may weigh. It
goes in compressed (gzip in base64, 2 MB) and the browser unpacks it. A content security policy
admits two scripts, by their hashes, and no address at all: the page cannot load anything, and no
name out of a network can become code.
"""

import base64
import functools
import gzip
import hashlib
import json
import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ..errors import UsageError
from ..files import write_text
from .view import view


__all__ = (
    "SCHEMA",
    "render",
    "write_report",
)


SCHEMA = 1
PATH_PARTS = 3
"""Parts of a layer's path that a narrow page shows."""
SCRIPTS = ("charts.js", "timeline.js", "page.js")
POLICY = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data: blob:; "
    "style-src 'unsafe-inline'; script-src {hashes}"
)


def write_report(results: Mapping[str, Any], path: str | Path) -> None:
    """Write the report of a run: one file that needs no network and no other file.

    Parameters
    ----------
    results : mapping
        What ``results.json`` holds.
    path : path
        HTML file to write; it appears whole or not at all.

    Raises
    ------
    UsageError
        If ``results`` is of another schema version.
    """
    write_text(Path(path), render(results))


def render(results: Mapping[str, Any]) -> str:
    """Return the text of the report; see :func:`write_report`."""
    if results.get("schema") != SCHEMA:
        raise UsageError(f"results must have schema {SCHEMA}, not {results.get('schema')!r}. "
                         f"Make them again with: dynafix run")
    variables = view(results)
    script = _script()
    library, library_hash = _library()
    hashes = f"{_source_hash(script.encode())} {library_hash}"
    return _environment().get_template("report.html").render(
        **variables, policy=Markup(POLICY.format(hashes=hashes)),
        style=Markup(_asset("report.css")), script=Markup(script), library=Markup(library),
        data=_json(variables["charts"]))


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("dynafix.report"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True)
    environment.filters["breakable"] = _breakable
    return environment


def _breakable(name: str) -> Markup:
    """Let a path break into lines after its separators, and set its beginning apart."""
    parts = re.split(r"(?<=[/.;:_])", name)
    folders = [place for place, part in enumerate(parts) if part.endswith("/")]
    start = folders[-PATH_PARTS] + 1 if len(folders) >= PATH_PARTS else 0
    path, rest = (Markup("<wbr>").join(some) for some in (parts[:start], parts[start:]))
    return Markup('<span class="path">{}</span>{}').format(path, rest) if path else rest


def _asset(name: str) -> str:
    return (resources.files("dynafix.report") / "assets" / name).read_text("utf-8")


def _script() -> str:
    """Return all of the page's scripts as one function, so that they share no global name."""
    return "\n".join(["(() => {", '"use strict";', *map(_asset, SCRIPTS), "})();"])


@functools.cache
def _library() -> tuple[str, str]:
    """Return the chart library, packed, and the hash of its source."""
    source = (resources.files("plotly") / "package_data" / "plotly.min.js").read_bytes()
    return base64.b64encode(gzip.compress(source, 9, mtime=0)).decode(), _source_hash(source)


def _source_hash(source: bytes) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(source).digest()).decode()}'"


def _json(value: Any) -> Markup:
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)
