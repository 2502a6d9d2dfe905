"""What can go wrong in a simulation."""

__all__ = (
    "SimulationError",
)


class SimulationError(ValueError):
    """A simulation could not be built or run, or its result is not the reference's."""
