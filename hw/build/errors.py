"""What can go wrong on the way to a bitstream."""

__all__ = (
    "BuildError",
    "StoppedError",
)


class BuildError(ValueError):
    """A tool is missing or failed, or the design suits neither the board nor the clock."""


class StoppedError(BuildError):
    """A tool was not started or was ended, because another failed or a person gave up."""
