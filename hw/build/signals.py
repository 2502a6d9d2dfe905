"""Signals that end a program, and what it has yet to do then."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn


__all__ = ("ending_in_order",)


_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def ending_in_order() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end a program as Ctrl-C does: through the end of every block.

    During the context such a signal raises ``SystemExit`` in the main thread, with the code that a
    shell expects, 128 and the number of the signal. Further ones are then ignored: the program is
    on its way. A signal that the program handles or ignores already stays as it is (``nohup``),
    and so do all of them in another than the main thread.

    Source: POSIX.1-2017, Shell and Utilities, section 2.8.2; the sum is that of common shells.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ours = [number for number in _SIGNALS if signal.getsignal(number) == signal.SIG_DFL]

    def end(number: int, frame: FrameType | None) -> NoReturn:
        for each in ours:
            signal.signal(each, signal.SIG_IGN)
        raise SystemExit(128 + number)

    for number in ours:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)
