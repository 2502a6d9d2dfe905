"""Verilog of whole designs."""

from amaranth.back import verilog as backend

from ..clocked import clocked
from .external import ExternalTop
from .standalone import StandaloneTop


__all__ = (
    "EXTERNAL_NAME",
    "STANDALONE_NAME",
    "external_verilog",
    "standalone_verilog",
)


EXTERNAL_NAME = "dynafix_external"
STANDALONE_NAME = "dynafix_standalone"


def _verilog(top, name: str) -> str:
    return clocked(backend.convert(top, name=name, emit_src=False, strip_internal_attrs=True))


def external_verilog(top: ExternalTop) -> str:
    """Return the Verilog of a design with SDRAM, as :func:`standalone_verilog` does.

    The top module is :data:`EXTERNAL_NAME`.
    """
    return _verilog(top, EXTERNAL_NAME)


def standalone_verilog(top: StandaloneTop) -> str:
    """Return the Verilog of a stand-alone design, as one file's text.

    The top module is :data:`STANDALONE_NAME`; its ports are those of the component, and ``clk``
    and ``rst``.
    """
    return _verilog(top, STANDALONE_NAME)
