"""The Python API: one function a command, with the same words.

Each takes paths, starts from the files of the one before, and returns what it found; ``run`` is
all of them in a row.
"""

from .accuracy import evaluate
from .boards import serial
from .compilation import compile, verilog
from .difference import diff
from .exchange import export, import_model
from .inspection import explain, inspect
from .packaging import ip
from .quantization import quantize
from .reporting import report
from .running import run
from .simulation import simulate
from .widths import choose_widths


__all__ = (
    "choose_widths",
    "compile",
    "diff",
    "evaluate",
    "explain",
    "export",
    "import_model",
    "inspect",
    "ip",
    "quantize",
    "report",
    "run",
    "serial",
    "simulate",
    "verilog",
)
