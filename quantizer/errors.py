"""Errors of the quantizer that a user can mend."""

__all__ = (
    "ModelError",
    "NodeError",
)


class ModelError(ValueError):
    """A network, its images or its formats cannot be used; the message says which and why."""


class NodeError(ModelError):
    """An operator of an ONNX file that cannot be imported.

    Parameters
    ----------
    place : str
        File, node and operator.
    reason : str
        Which rule the node breaks, and what would do.
    advice : str
        More on what would do; the message ends with it.
    """

    def __init__(self, place: str, reason: str, advice: str = "") -> None:
        super().__init__(f"{place}: {reason}" + (f"; {advice}" if advice else ""))
        self.place = place
        self.reason = reason
