"""Where the steps of a run tell what they do."""

import contextlib
from collections.abc import Callable, Iterator


__all__ = ("Steps",)


class Steps:
    """Listener to the steps of a run; this one is silent, :class:`.terminal.Terminal` is not."""

    def line(self, step: str, text: str) -> None:
        """Tell the outcome of a step in one line."""

    def progress(self, step: str, done: int, total: int, unit: str = "", note: str = "") -> None:
        """Tell that ``done`` of ``total`` units of a step are done; the last call has all of them.

        Parameters
        ----------
        step : str
            Name of the step.
        done, total : int
            How far it is.
        unit : str
            What is counted.
        note : str
            What else there is to say.
        """

    @contextlib.contextmanager
    def busy(self, step: str, text: str) -> Iterator[Callable[[str], None]]:
        """Tell, during the context, that a step without parts to count is going on.

        Yields a function that changes the text.
        """
        yield lambda text: None
