"""The accelerator as IP for a system on chip: wrapper, packaging script, register header."""

from .registers import description, register_header
from .vivado import package_script
from .wrapper import WRAPPER_NAME, wrapper_verilog


__all__ = (
    "WRAPPER_NAME",
    "description",
    "package_script",
    "register_header",
    "wrapper_verilog",
)
