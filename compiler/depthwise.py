"""Depthwise convolutions that the array runs from its window of last codes."""

from arch.config import AcceleratorConfig

from .layers import ConvTask, Rect, Task


__all__ = (
    "runs_in_window",
    "window_line",
    "writes_in_place",
)


_MAX_STRIDE = 8
_MAX_WRAP = 7


def runs_in_window(task: ConvTask, config: AcceleratorConfig) -> bool:
    """Return whether a convolution is depthwise and the window of last codes can feed it."""
    return (
        task.depthwise and config.window_taps > 0
        and task.window.strides[1] <= _MAX_STRIDE)


def window_line(
    task: ConvTask, rect: Rect, columns: tuple[int, int]
) -> tuple[int, int, int, int]:
    """Return how a pass for some kernel columns walks along the lines of a tile.

    The padding on the left of a line costs nothing, as its window starts empty. Neither does that
    on the right where each line has ``stride`` times as many columns as results: lines then
    follow each other, and the last results of a line come with the first steps of the next. A
    pooling of the results needs lines that end with their own steps.

    Returns
    -------
    (int, int, int, int)
        Steps of a line, its first column, steps before the first result, and steps by which
        results reach into the next line.
    """
    stride, dilation = task.window.strides[1], task.window.dilations[1]
    width = task.inputs[0].width
    start = rect.x0 * stride - task.window.pads[1] + columns[0] * dilation
    reach = (columns[1] - columns[0] - 1) * dilation
    first, warm = min(start + reach, max(start, 0)), reach
    warm -= first - start
    line = warm + (rect.columns - 1) * stride + 1
    wrap = first + line - width
    whole = (
        task.pooling is None and (rect.x0, rect.columns) == (0, task.output.width)
        and rect.columns * stride == width)
    if whole and line > width >= reach and 0 < wrap <= min(_MAX_WRAP, width):
        return width, 0, start + reach, wrap
    return line, first, warm, 0


def writes_in_place(task: Task, config: AcceleratorConfig) -> bool:
    """Return whether a layer can write its output over its input, if nothing else needs that.

    The accumulators take the whole map, block by block, and a block's last pass has read what it
    overwrites: the last line of the kernel lies under the position, or that line's last column.
    """
    if not isinstance(task, ConvTask) or not runs_in_window(task, config):
        return False
    window, source, target = task.window, task.inputs[0], task.output
    down, right = (
        (taps - 1) * dilation - pad
        for taps, dilation, pad in zip(window.kernel, window.dilations, window.pads[:2]))
    return (
        task.pooling is None and source.home is target.home is None
        and source.shape == target.shape
        and window.strides == (1, 1) and target.height * target.width <= config.acc_depth
        and (down > 0 or (down == 0 and right >= 0)))
