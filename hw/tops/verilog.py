"""Verilog of whole designs."""

from amaranth.back import verilog as backend

from ..clocked import clocked
from .standalone import StandaloneTop


__all__ = (
    "STANDALONE_NAME",
    "standalone_verilog",
)


STANDALONE_NAME = "dynafix_standalone"


def standalone_verilog(top: StandaloneTop) -> str:
    """Return the Verilog of a stand-alone design, as one file's text.

    The top module is :data:`STANDALONE_NAME`; its ports are those of the component, and ``clk``
    and ``rst``.
    """
    return clocked(backend.convert(
        top, name=STANDALONE_NAME, emit_src=False, strip_internal_attrs=True))
