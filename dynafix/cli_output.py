"""What commands print with, and the codes they end with."""

import json
from typing import Any

import click


__all__ = (
    "DIFFERENT",
    "INTERRUPTED",
    "USAGE",
    "open_terminal",
    "print_json",
)


DIFFERENT, USAGE, INTERRUPTED = 1, 2, 130


def open_terminal(quiet: bool, as_json: bool) -> Any:
    """Return the terminal, and the listener to a command's steps: silent where JSON is asked."""
    from .steps import Steps
    from .terminal import Terminal

    terminal = Terminal(quiet=quiet)
    return terminal, (Steps() if as_json else terminal)


def print_json(value: Any) -> None:
    """Print plain values as JSON."""
    click.echo(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False))
