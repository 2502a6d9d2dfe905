"""What can go wrong on the way to a bitstream."""

__all__ = (
    "BuildError",
)


class BuildError(ValueError):
    """A tool is missing or failed, or the design suits neither the board nor the clock."""
