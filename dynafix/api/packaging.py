"""The accelerator, the program and their drivers as one folder for a system on chip."""

import json
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arch.config import AcceleratorConfig
from compiler.host_ends import HostEnds
from compiler.program import Program

from ..errors import UsageError
from ..files import output_folder, write_bytes
from ..options import load_config
from ..preprocess import Preprocess
from ..steps import Steps
from .compilation import open_program
from .quantized import open_quantized
from .reporting import check_clock


__all__ = (
    "accelerator_files",
    "ip",
    "network_files",
)


_C_DRIVER = ("dynafix.h", "dynafix.c", "dynafix_maps.c")
_PYTHON_DRIVER = "dynafix_pynq.py"


def ip(
    folder: str | Path | None = None, *, output: str | Path | None = None,
    config: str | Path | AcceleratorConfig | None = None, clock_mhz: float = 100.0,
    steps: Steps | None = None,
) -> Path:
    """Write an accelerator as IP for a system on chip, with its program and drivers.

    Parameters
    ----------
    folder : path, optional
        Output folder of a compiled network; without it there is a config, and nothing of a
        network is written.
    output : path, optional
        Folder in which ``ip/`` is written; ``folder`` by default.
    config : str, path or AcceleratorConfig, optional
        Preset, JSON file, or the config itself, where there is no ``folder``.
    clock_mhz : float
        Clock that the packaged IP names, in MHz.
    steps : Steps, optional
        Is told the progress.

    Returns
    -------
    Path
        The folder ``ip``.

    Raises
    ------
    ValueError
        If arguments are missing or too many, or a folder cannot be used.
    """
    from sim.build import accelerator_verilog

    steps = steps or Steps()
    check_clock(clock_mhz)
    target = output if folder is None else output or folder
    if target is None or (folder is None) == (config is None):
        raise UsageError("ip needs FOLDER with a program, or --config and --output")
    written: dict[str, bytes] = {}
    if folder is None:
        chosen = load_config(config)
    else:
        quantized = open_quantized(folder, steps=steps)
        program = open_program(quantized)
        chosen = program.config
        ends = HostEnds.of(quantized.model.graph)
        written |= dict(network_files(
            program, ends, _pixel_codes(program, ends, quantized.rule)))
    with steps.busy("verilog", chosen.name):
        written["hdl/accelerator.v"] = accelerator_verilog(chosen).encode()
    written |= dict(accelerator_files(chosen, clock_mhz))
    path = output_folder(target) / "ip"
    for name, content in written.items():
        write_bytes(path / name, content)
    steps.line("ip", f"{chosen.name}, {len(written)} files; package it with: vivado -mode batch "
                     f"-source {path / 'package_ip.tcl'}")
    return path


def accelerator_files(config: AcceleratorConfig, clock_mhz: float) -> Iterator[tuple[str, bytes]]:
    """Yield name and contents of what depends on the config alone, but for its Verilog.

    Parameters
    ----------
    config : AcceleratorConfig
        Accelerator.
    clock_mhz : float
        Clock that the packaged IP names, in MHz.
    """
    from hw.ip import (
        WRAPPER_NAME,
        description,
        package_script,
        register_header,
        wrapper_verilog,
    )

    yield f"hdl/{WRAPPER_NAME}.v", wrapper_verilog(config).encode()
    yield "package_ip.tcl", package_script(config, clock_mhz=clock_mhz).encode()
    yield "c/dynafix_regs.h", register_header(config).encode()
    yield "accelerator.json", _json(description(config))
    driver = files("dynafix.driver")
    for name in _C_DRIVER:
        yield f"c/{name}", driver.joinpath(name).read_bytes()
    yield f"python/{_PYTHON_DRIVER}", driver.joinpath(_PYTHON_DRIVER).read_bytes()


def network_files(
    program: Program, ends: HostEnds, codes: NDArray[np.int64] | None
) -> Iterator[tuple[str, bytes]]:
    """Yield name and contents of what depends on the network.

    Parameters
    ----------
    program : Program
        Compiled network.
    ends : HostEnds
        What the host does with images and results.
    codes : int64, (c, 256) or (1, 256), or None
        Input code of each value of a pixel.
    """
    from compiler.c_network import c_name, image_source, network_header, network_source
    from compiler.text_images import coe, mif

    name, width = c_name(program.name), program.config.dram_width
    yield f"c/{name}.h", network_header(program, ends).encode()
    yield f"c/{name}.c", network_source(program, ends, codes).encode()
    yield f"c/{name}_images.S", image_source(program, folder="images").encode()
    yield "network.json", _json(_network_description(program, ends, codes))
    for image, data in (("program", program.program_image), ("weights", program.weight_image)):
        yield f"images/{image}.bin", data
        yield f"images/{image}.coe", coe(data, width)
        yield f"images/{image}.mif", mif(data, width)


def _pixel_codes(
    program: Program, ends: HostEnds, rule: Preprocess
) -> NDArray[np.int64] | None:
    """Return the input code of each value of a pixel, where the network takes pictures."""
    values = rule.of_pixels()
    if values is None:
        return None
    return program.input_layout.format.quantize(ends.taken(values), program.config.rounding)


def _network_description(
    program: Program, ends: HostEnds, codes: NDArray[np.int64] | None
) -> dict[str, Any]:
    """Return what a driver must know of a network, as plain values."""
    from arch.isa import ISA_VERSION
    from sim.memory import job_steps

    pads = ends.pad_codes(program.input_layout, program.config.rounding)
    return {
        "name": program.name, "isa_version": ISA_VERSION,
        "config_hash": f"{program.config.hash:#018x}",
        "sizes": {
            "program": len(program.program_image), "weights": len(program.weight_image),
            "input": program.input_size, "output": program.output_size,
            "scratch": program.scratch_size},
        "input": program.input_layout.to_json(), "output": program.output_layout.to_json(),
        "image_shape": ends.image_shape(program.input_layout),
        "intake": None if ends.intake is None else ends.intake.to_json(),
        "pad_codes": None if pads is None else pads.tolist(),
        "result": None if ends.scales is None or ends.offsets is None else {
            "scales": ends.scales.tolist(), "offsets": ends.offsets.tolist()},
        "rounding": str(program.config.rounding),
        "pixel_codes": None if codes is None else codes.tolist(),
        "layers": [layer.name for layer in program.layers],
        "steps": job_steps(program),
    }


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()
