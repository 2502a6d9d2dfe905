"""All steps in a row."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from arch.config import AcceleratorConfig
from quantizer.model import Limits
from quantizer.overrides import WEIGHTS_SUFFIX

from ..errors import UsageError
from ..options import Dram, Options, load_config
from ..steps import Steps
from .compilation import DEFAULT_CONFIG, compile, verilog
from .preparation import widths_of
from .quantization import quantize
from .reporting import CLOCK_MHZ, check_clock, report
from .simulation import check_images, simulate


__all__ = ("run",)


def run(
    model: str | Path, data: str | Path, output: str | Path, *,
    config: str | Path | AcceleratorConfig = DEFAULT_CONFIG, images: int = 10,
    options: Options | None = None, preprocess: Mapping[str, Any] | None = None,
    dram: Dram | None = None, clock_mhz: float = CLOCK_MHZ, fuse: bool = True, command: str = "",
    steps: Steps | None = None,
) -> dict[str, Any]:
    """Quantize, compile, write Verilog, simulate and report.

    Parameters
    ----------
    model : path
        ONNX file.
    data : path
        Images, see :func:`dynafix.data.load_data`.
    output : path
        Folder for the results.
    config : str, path or AcceleratorConfig
        Preset, JSON file, or the config itself.
    images : int
        How many images to simulate.
    options : Options, optional
        How formats are chosen.
    preprocess : mapping, optional
        ``resize``, ``crop``, ``color``, ``mean``, ``std``, over the model's metadata.
    dram : Dram, optional
        Timing of the DRAM.
    clock_mhz : float
        Clock at which latency is shown, in MHz.
    fuse : bool
        Whether convolutions pool their results where that is faster.
    command : str
        What the person typed, for the records.
    steps : Steps, optional
        Is told the progress.

    Returns
    -------
    dict
        Content of ``results.json``.

    Raises
    ------
    ValueError
        If the model, the images, an option or the folder cannot be used.
    VerificationError
        If numpy, onnxruntime and the Verilog differ.
    """
    config, options = load_config(config), options or Options()
    _check_widths(config, options)
    check_images(images)
    check_clock(clock_mhz)
    quantized = quantize(model, data, output, options=options, preprocess=preprocess,
                         command=command, limits=Limits(acc_bits=config.acc_bits), steps=steps)
    program = compile(quantized, config=config, dram=dram, fuse=fuse, steps=steps)
    verilog(output, config=config, steps=steps)
    simulate(quantized, program=program, images=images, dram=dram, steps=steps)
    return report(quantized, program=program, clock_mhz=clock_mhz, steps=steps)


def _check_widths(config: AcceleratorConfig, options: Options) -> None:
    """Refuse codes that the accelerator cannot hold, before any work."""
    widest = options.first_last_bits or 0
    for name, bits, most in (
            ("data", options.data_bits, config.data_bits),
            ("weight", options.weight_bits, config.weight_bits),
            ("first-last", widest, min(config.data_bits, config.weight_bits))):
        if bits > most:
            raise UsageError(f"--{name}-bits must be at most {most}, the width of config "
                             f"'{config.name}', not {bits}. To see the accuracy without "
                             f"hardware: dynafix quantize")
    for name, bits in widths_of(options.widths).items():
        most = config.weight_bits if name.endswith(WEIGHTS_SUFFIX) else config.data_bits
        if bits > most:
            raise UsageError(f"--width of '{name}' must be at most {most}, the width of config "
                             f"'{config.name}', not {bits}. To see the accuracy without "
                             f"hardware: dynafix quantize")
