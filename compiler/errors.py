"""The exception of this package."""

__all__ = ("CompileError",)


class CompileError(ValueError):
    """A network that a config cannot run, or files that do not belong together.

    The message names the layer, the buffer and what would do.
    """
