"""A program as C source: what the driver must know of a network, and its images."""

import re
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from arch.formats import Format
from arch.isa import ISA_VERSION, Region

from .errors import CompileError
from .host import HostStep
from .host_ends import HostEnds
from .maps import InputLayout
from .program import Program


__all__ = (
    "c_name",
    "image_source",
    "network_header",
    "network_source",
)


_PIXELS_A_LINE = 16
_KEYWORDS = frozenset(
    "auto break case char const continue default do double else enum extern float for goto if "
    "inline int long register restrict return short signed sizeof static struct switch typedef "
    "union unsigned void volatile while main".split())


def c_name(name: str) -> str:
    """Return the identifier of a network in C.

    Parameters
    ----------
    name : str
        Name of the network.

    Examples
    --------
    >>> c_name("lenet5-mnist"), c_name("8bit"), c_name("int")
    ('lenet5_mnist', 'net_8bit', 'net_int')
    """
    word = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_").lower()
    if not word or word[0].isdigit() or word in _KEYWORDS or word.startswith("dynafix"):
        return f"net_{word}"
    return word


def _sizes(program: Program) -> dict[str, int]:
    return {
        "PROGRAM": len(program.program_image), "WEIGHTS": len(program.weight_image),
        "INPUT": program.input_size, "OUTPUT": program.output_size,
        "SCRATCH": program.scratch_size}


def network_header(program: Program, ends: HostEnds) -> str:
    """Return ``<network>.h``: sizes and formats as macros, and what the other files define.

    Parameters
    ----------
    program : Program
        Compiled network.
    ends : HostEnds
        What the host does with images and results.
    """
    name = c_name(program.name)
    macro = name.upper()
    values: list[tuple[str, object]] = [
        (f"{region}_SIZE", size) for region, size in _sizes(program).items()]
    values += zip(("IMAGE_CHANNELS", "IMAGE_HEIGHT", "IMAGE_WIDTH"),
                  ends.image_shape(program.input_layout))
    for which, layout in (("INPUT", program.input_layout), ("OUTPUT", program.output_layout)):
        channels, height, width = layout.shape
        values += [
            (f"{which}_CHANNELS", channels), (f"{which}_HEIGHT", height),
            (f"{which}_WIDTH", width), (f"{which}_BITS", layout.format.bits),
            (f"{which}_FRAC", f"({layout.format.frac})"),
            (f"{which}_SIGNED", int(layout.format.signed))]
    values += [("LAYERS", len(program.layers)), ("CYCLES", round(program.prediction.cycles))]
    defines = "\n".join(f"#define {f'{macro}_{key}':40} {value}" for key, value in values)
    layers = "\n".join(
        f" *   {layer.index:3} {_comment(layer.name)}" for layer in program.layers)
    return f"""\
/* {_comment(program.name)} for config hash {program.config.hash:#018x}. Generated; do not edit.
 *
 * Sizes are bytes; CYCLES is what the compiler predicts. IMAGE_ is what numbers and pixels are
 * given for, INPUT_ what codes are. Layers, for dynafix_counters:
{layers}
 */
#ifndef DYNAFIX_NETWORK_{macro}_H
#define DYNAFIX_NETWORK_{macro}_H

#include "dynafix.h"

{defines}

extern const dynafix_network {name};

/* From {name}_images.S, which is not needed if something else puts the images into memory. */
extern const uint8_t {name}_program[], {name}_weights[];

#endif
"""


def network_source(
    program: Program, ends: HostEnds, pixel_codes: NDArray[np.int64] | None = None
) -> str:
    """Return ``<network>.c``: the network as the driver wants it.

    Parameters
    ----------
    program : Program
        Compiled network.
    ends : HostEnds
        What the host does with images and results.
    pixel_codes : int64, (c, 256) or (1, 256), optional
        Input code of each value of a pixel, for each channel or for all.

    Raises
    ------
    ValueError
        If the codes of pixels have another shape, or are none of the input's format.
    """
    name = c_name(program.name)
    config, layout = program.config, program.input_layout
    sizes = ", ".join(
        str(_sizes(program)[region.name]) for region in Region)
    steps = list(_steps(program))
    table, stride = _pixels(name, pixel_codes, layout)
    return f"""\
/* {_comment(program.name)}: see {name}.h. Generated; do not edit. */
#include "{name}.h"

{table}{_end_arrays(name, program, ends)}static const dynafix_step {name}_steps[] = {{
{chr(10).join(steps)}
}};

const dynafix_network {name} = {{
    .name = {_string(program.name)},
    .isa_version = {ISA_VERSION}u,
    .config_hash_lo = 0x{config.hash & 0xFFFFFFFF:08X}u,
    .config_hash_hi = 0x{config.hash >> 32:08X}u,
    .program_size = {len(program.program_image)},
    .region_sizes = {{{sizes}}},
    .input = {_map(layout.shape, layout.format, layout.lanes, layout.code_size)},
    .output = {_map(program.output_layout.shape, program.output_layout.format,
                    program.output_layout.lanes, program.output_layout.code_size)},
    .packing = {_packing(layout)},
    .intake = {_intake(name, layout, ends)},
    .result_scales = {_pointer(name, "result_scales", ends.scales)},
    .result_offsets = {_pointer(name, "result_offsets", ends.offsets)},
    .rounding = DYNAFIX_{config.rounding.name},
    .pixel_codes = {f"{name}_pixel_codes" if table else "NULL"},
    .pixel_stride = {stride},
    .steps = {name}_steps,
    .step_count = {len(steps)},
    .layer_count = {len(program.layers)},
}};
"""


def image_source(program: Program, *, folder: str) -> str:
    """Return ``<network>_images.S``, which takes the images into the executable.

    Parameters
    ----------
    program : Program
        Compiled network.
    folder : str
        Folder with ``program.bin`` and ``weights.bin``, as the assembler sees it.
    """
    name = c_name(program.name)
    parts = "\n".join(f"""\
    .global {name}_{image}
    .balign 64
{name}_{image}:
    .incbin "{folder}/{image}.bin"
""" for image in ("program", "weights"))
    return f"""\
/* Images of {_comment(program.name)}, for the assembler of GCC or Clang (-I says where the
 * folder "{folder}" is). Generated; do not edit. */
    .section .rodata
{parts}
#if defined(__linux__) && defined(__ELF__)
    .section .note.GNU-stack, "", %progbits
#endif
"""


def _comment(text: str) -> str:
    """Return a text that can stand in a comment of C."""
    return "".join(c if c.isprintable() else "?" for c in text).replace("*/", "* /")


def _string(text: str) -> str:
    """Return a string literal of C."""
    escaped = "".join(
        chr(byte) if 32 <= byte < 127 and chr(byte) not in '"\\?' else f"\\{byte:03o}"
        for byte in text.encode())
    return f'"{escaped}"'


def _struct(fields: Iterable[tuple[str, object]]) -> str:
    lines = "\n".join(f"        .{name} = {value}," for name, value in fields)
    return f"{{\n{lines}\n    }}"


def _map(shape: Sequence[int], fmt: Format, lanes: int, code_size: int) -> str:
    channels, height, width = shape
    return _struct((
        ("channels", channels), ("height", height), ("width", width), ("bits", fmt.bits),
        ("frac", fmt.frac), ("is_signed", int(fmt.signed)), ("lanes", lanes),
        ("code_size", code_size)))


def _packing(layout: InputLayout) -> str:
    """Return how the input is made: one rule for all that a layout can be."""
    window, (channels, height, width) = layout.window, layout.shape
    kernel, strides, dilations, pads = (1, 1), (1, 1), (1, 1), (0, 0)
    lines, columns, line_size = height, width, 0
    match layout.unroll:
        case "none":
            pass
        case "loader":
            line_size = -(-width * channels * layout.code_size // layout.beat) * layout.beat
        case "columns":
            kernel, strides = (1, window.kernel[1]), (1, window.strides[1])
            dilations, pads = (1, window.dilations[1]), (0, window.pads[1])
            columns = window.output_size(height, width)[1]
        case "taps":
            kernel, strides, dilations = window.kernel, window.strides, window.dilations
            pads = window.pads[:2]
            lines, columns = window.output_size(height, width)
        case other:
            raise CompileError(f"The C driver cannot pack an input that is unrolled by {other!r}")
    return _struct((
        ("lines", lines), ("columns", columns),
        ("kernel_lines", kernel[0]), ("kernel_columns", kernel[1]),
        ("stride_lines", strides[0]), ("stride_columns", strides[1]),
        ("dilation_lines", dilations[0]), ("dilation_columns", dilations[1]),
        ("above", pads[0]), ("before", pads[1]), ("line_size", line_size)))


def _pointer(name: str, what: str, values: object) -> str:
    return "NULL" if values is None else f"{name}_{what}"


def _intake(name: str, layout: InputLayout, ends: HostEnds) -> str:
    _, height, width = ends.image_shape(layout)
    above, before = (0, 0) if ends.intake is None else ends.intake.pads[:2]
    return _struct((
        ("height", height), ("width", width), ("above", above), ("before", before),
        ("offsets", _pointer(name, "input_offsets", ends.intake)),
        ("factors", _pointer(name, "input_factors", ends.intake)),
        ("pad_codes", "NULL" if ends.intake is None or not any(ends.intake.pads)
         else f"{name}_pad_codes")))


def _end_arrays(name: str, program: Program, ends: HostEnds) -> str:
    """Return the numbers of each channel that the ends of the network need."""
    pads = ends.pad_codes(program.input_layout, program.config.rounding)
    arrays: list[tuple[str, str, Iterable[str]]] = []
    if ends.intake is not None:
        arrays += [
            ("float", "input_offsets", (f"{float(x).hex()}f" for x in ends.intake.offset)),
            ("float", "input_factors", (f"{float(x).hex()}f" for x in ends.intake.factor))]
    if pads is not None:
        arrays.append(("int16_t", "pad_codes", map(str, pads.tolist())))
    if ends.scales is not None and ends.offsets is not None:
        arrays += [
            ("double", "result_scales", (x.hex() for x in ends.scales.tolist())),
            ("double", "result_offsets", (x.hex() for x in ends.offsets.tolist()))]
    return "".join(
        f"static const {kind} {name}_{what}[] = {{{', '.join(words)}}};\n\n"
        for kind, what, words in arrays)


def _steps(program: Program) -> Iterable[str]:
    for step in program.steps:
        if not isinstance(step, HostStep):
            yield f"    {{.offset = {step.offset}}},"
            continue
        source, result = step.source, step.result
        yield (
            f"    {{.is_host = 1, .source_region = {source.region.value}, "
            f".source_offset = {source.address}, .source_size = {step.size(source)},\n"
            f"     .result_region = {result.region.value}, .result_offset = {result.address}, "
            f".result_size = {step.size(result)}}},  /* {_comment(step.describe())} */")


def _pixels(
    name: str, codes: NDArray[np.int64] | None, layout: InputLayout
) -> tuple[str, int]:
    """Return the table of pixels, and the entries from channel to channel."""
    if codes is None:
        return "", 0
    if codes.ndim != 2 or codes.shape[1] != 256 or len(codes) not in (1, layout.shape[0]):
        raise ValueError(
            f"Codes of pixels must have shape ({layout.shape[0]}, 256) or (1, 256), "
            f"not {codes.shape}")
    fmt = layout.format
    if codes.min() < fmt.min or codes.max() > fmt.max:
        raise ValueError(
            f"Codes of pixels must be in {fmt.min}..{fmt.max}, "
            f"not {codes.min()}..{codes.max()}")
    flat = codes.ravel().tolist()
    lines = "\n".join(
        f"    {', '.join(map(str, flat[n:n + _PIXELS_A_LINE]))},"
        for n in range(0, len(flat), _PIXELS_A_LINE))
    return (f"static const int16_t {name}_pixel_codes[] = {{\n{lines}\n}};\n\n",
            256 if len(codes) > 1 else 0)
