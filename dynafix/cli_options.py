"""What several commands are given: options, and how they are taken."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import click

from .errors import UsageError


__all__ = (
    "CLOCK",
    "CONFIG",
    "DATA",
    "DRAM_OPTIONS",
    "FORMAT_OPTIONS",
    "FUSE",
    "IMAGES",
    "MOVED_DATA",
    "OUTPUT",
    "OUTPUT_OPTIONS",
    "PREPROCESS_OPTIONS",
    "numbers",
    "split_options",
    "typed_command",
    "with_options",
)


def numbers(context: click.Context, parameter: click.Parameter, value: str | None) -> Any:
    """Return numbers that are separated by commas or spaces; a callback of click."""
    if value is None:
        return None
    try:
        numbers = [float(word) for word in value.replace(",", " ").split()]
    except ValueError:
        numbers = []
    if not numbers:
        raise UsageError(f"--{parameter.name} must be numbers separated by commas, "
                         f"not {value!r}")
    return numbers


def _size(context: click.Context, parameter: click.Parameter, value: str | None) -> Any:
    if value is None:
        return None
    words = value.lower().split("x")
    if len(words) > 2 or not all(word.isdigit() for word in words):
        raise UsageError(f"--resize must be a number of pixels or HEIGHTxWIDTH, not {value!r}")
    return int(words[0]) if len(words) == 1 else tuple(map(int, words))


def _widths(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> Any:
    """Return pairs of name and bits, or the one file that has them."""
    files = [value for value in values if "=" not in value]
    if files:
        if len(values) > 1:
            raise UsageError("--width must be one FILE, or NAME=BITS for each layer, "
                             f"not both {files[0]!r} and {len(values) - 1} more")
        return files[0]
    found = {}
    for value in values:
        name, _, bits = value.rpartition("=")
        if not name or not bits.isdigit():
            raise UsageError(f"--width must be NAME=BITS, such as conv1.weights=4, not {value!r}")
        if name in found:
            raise UsageError(f"--width must name '{name}' once")
        found[name] = int(bits)
    return found


def with_options(*several: Callable) -> Callable:
    """Return one decorator for several options, which help shows in this order."""
    def decorate(function: Callable) -> Callable:
        for option in reversed(several):
            function = option(function)
        return function
    return decorate


def split_options(values: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Return format options and preprocessing options."""
    from .options import Options

    names = [field.name for field in dataclasses.fields(Options)]
    options = Options(**{name: values[name] for name in names})
    return options, {name: value for name, value in values.items() if name not in names}


def typed_command() -> str:
    """Return the command as the person typed it."""
    return click.get_current_context().obj


DATA = click.option(
    "--data", required=True, metavar="FILE|FOLDER",
    help="Images: an .npz file with calib_x, eval_x and eval_y, or a folder with one folder of "
         "pictures a class.")
MOVED_DATA = click.option(
    "--data", metavar="FILE|FOLDER",
    help="The images, where they are no longer where quantize found them.")
OUTPUT = click.option("--output", required=True, metavar="FOLDER", help="Folder for the results.")
CONFIG = click.option(
    "--config", default="ecp5_85f", show_default=True, metavar="PRESET|FILE",
    help="Accelerator: tiny, small, up5k, ecp5_85f, large, large16, that of a board ("
         "ulx3s, colorlight-i5, ecpix5, icebreaker, tang-nano-20k), or a JSON file of parameters.")
IMAGES = click.option("--images", default=10, show_default=True, metavar="N",
                      help="Evaluation images to simulate.")
CLOCK = click.option("--clock", default=150.0, show_default=True, metavar="MHZ",
                     help="Clock at which latency is shown.")
FUSE = click.option("--no-fuse", "fuse", is_flag=True, default=True, flag_value=False,
                    help="Write every tensor, also those that are only pooled.")
FORMAT_OPTIONS = with_options(
    click.option("--data-bits", default=8, show_default=True, metavar="BITS",
                 help="Width of data, 2 to 16."),
    click.option("--weight-bits", default=8, show_default=True, metavar="BITS",
                 help="Width of weights, 2 to 16."),
    click.option("--first-last-bits", type=int, metavar="BITS",
                 help="Width of data and weights of the first and last layer, where it differs."),
    click.option("--precision", default="dynamic", show_default=True, metavar="dynamic|static",
                 help="One fractional length a tensor, or one for all."),
    click.option("--ranges", default="l2", show_default=True, metavar="RULE",
                 help="How a range is chosen: max, percentile:P, l1, l2, entropy or mode."),
    click.option("--fit-ends/--no-fit-ends", default=True, show_default=True,
                 help="Let the host shift and scale input and output to fill their codes."),
    click.option("--absorb-bias/--no-absorb-bias", "absorb", default=False, show_default=True,
                 help="Move what channels always have before a Relu into the next biases."),
    click.option("--equalize/--no-equalize", default=True, show_default=True,
                 help="Multiply channels by factors so that they suit one format."),
    click.option("--correct-bias/--no-correct-bias", "correct", default=True, show_default=True,
                 help="Take away in the biases what rounding adds to a channel on average."),
    click.option("--per-channel", is_flag=True,
                 help="One fractional length for each output channel's weights."),
    click.option("--weight-rounding", default="feedback", show_default=True,
                 metavar="nearest|feedback|learned",
                 help="Round weights for themselves, or by the error of their layer's output."),
    click.option("--refine", is_flag=True,
                 help="Move fractional lengths on, by the error of the network's output."),
    click.option("--width", "widths", multiple=True, callback=_widths,
                 metavar="NAME=BITS|FILE",
                 help="Width of one layer's data, or of NAME.weights; repeatable, or a JSON or "
                      "TOML file."),
    click.option("--no-fuse-add", "fuse_add", is_flag=True, default=True, flag_value=False,
                 help="Round the result of a convolution before it is added to another map."),
    click.option("--formats", metavar="FILE", help="JSON file of formats to use instead."),
    click.option("--calibration", default=100, show_default=True, metavar="N",
                 help="Most images to calibrate with."),
)
PREPROCESS_OPTIONS = with_options(
    click.option("--resize", callback=_size, metavar="N|HxW",
                 help="Resize the shorter side, or both."),
    click.option("--crop", type=int, metavar="N", help="Cut an N × N square from the center."),
    click.option("--color", metavar="RGB|BGR|GRAY", help="Order of colors, or gray."),
    click.option("--mean", callback=numbers, metavar="X[,X,X]", help="Subtracted from pixels."),
    click.option("--std", callback=numbers, metavar="X[,X,X]", help="Divides pixels, after."),
)
DRAM_OPTIONS = with_options(
    click.option("--dram-latency", default=30, show_default=True, metavar="CYCLES",
                 help="Cycles from a request to its first beat."),
    click.option("--dram-bytes-per-cycle", type=float, metavar="BYTES",
                 help="Bandwidth of the DRAM; that of the bus by default."),
)
OUTPUT_OPTIONS = with_options(
    click.option("--quiet", is_flag=True, help="Print the last lines only."),
    click.option("--json", "as_json", is_flag=True, help="Print the results as JSON instead."),
)
