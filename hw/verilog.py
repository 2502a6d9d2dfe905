"""Verilog of the whole accelerator."""

import json

from amaranth.back import verilog as backend

from arch.config import AcceleratorConfig

from .accelerator import Accelerator
from .clocked import clocked
from .primitives import FamilyPlatform


__all__ = (
    "MODULE_NAME",
    "verilog",
)


MODULE_NAME = "dynafix_accelerator"


def verilog(config: AcceleratorConfig, family: str = "generic") -> str:
    """Return the Verilog of the accelerator for ``config``, as one file's text.

    The top module is :data:`MODULE_NAME`; its ports are those of
    :class:`hw.accelerator.Accelerator` with ``__`` between levels, and ``clk`` and ``rst``.

    Parameters
    ----------
    config : AcceleratorConfig
        Sizes of the accelerator.
    family : str
        Device family, of :data:`hw.primitives.FAMILIES`, whose multipliers and memories it is
        made of; ``"generic"`` leaves finding them to synthesis.

    Returns
    -------
    str
        Verilog-2005 text, the same for the same arguments.

    Raises
    ------
    ValueError
        If there is no such family.
    """
    text = clocked(backend.convert(
        Accelerator(config), name=MODULE_NAME, platform=FamilyPlatform(family), emit_src=False,
        strip_internal_attrs=True))
    parameters = json.dumps(config.to_json())
    return f"// {MODULE_NAME}, config hash {config.hash:#018x}\n// {parameters}\n{text}"
