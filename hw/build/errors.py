"""What can go wrong on the way to a bitstream."""

from collections.abc import Set


__all__ = (
    "BuildError",
    "StoppedError",
    "FitError",
    "StalledError",
)


class BuildError(ValueError):
    """A tool is missing or failed, or the design suits neither the board nor the clock."""


class StoppedError(BuildError):
    """A tool was not started or was ended, because another failed or a person gave up."""


class StalledError(BuildError):
    """A tool was ended, because it did not come any further."""


class FitError(BuildError):
    """The design does not fit.

    Parameters
    ----------
    message : str
        What is short.
    resources : set of str
        The same by names of :data:`hw.build.devices.RESOURCES`.
    """

    def __init__(self, message: str, resources: Set[str]):
        super().__init__(message)
        self.resources = resources
