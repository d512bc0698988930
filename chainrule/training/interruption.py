"""Ctrl-C during a fit: the first asks it to end at the next segment, a second one ends it at once."""
import contextlib
import os
import signal
import sys
import threading


class Interruption:
    """Hears Ctrl-C, and where asked for the system's wish to terminate, for the time of a `with`.

    Only the main thread of a program receives signals; in others nothing changes.

    Args:
        terminates: whether SIGTERM is heard too.

    Attributes:
        asked: the signal that came; `None` while none has.
    """

    def __init__(self, terminates: bool = False):
        self.asked: signal.Signals | None = None
        self._signals = [signal.SIGINT, signal.SIGTERM][: 1 + terminates]
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> "Interruption":
        if threading.current_thread() is threading.main_thread():
            for number in self._signals:
                # Whoever has other plans for a signal keeps them: a handler of their own, or to ignore it.
                if signal.getsignal(number) in (signal.default_int_handler, signal.SIG_DFL):
                    self._before[number] = signal.signal(number, self._hear)
        return self

    def __exit__(self, *_) -> None:
        self._give_back()

    def _hear(self, number, _) -> None:
        self.asked = signal.Signals(number)
        with contextlib.suppress(OSError, ValueError, AttributeError):  # where there is nobody to read it
            # Not by `print`: the signal may have come in the middle of one, and two at once are an error.
            os.write(sys.stderr.fileno(), b"\nStopping at the next opportunity; Ctrl-C once more to stop at once.\n")
        self._give_back()  # the next one finds what was there before

    def _give_back(self) -> None:
        while self._before:
            signal.signal(*self._before.popitem())

    def raise_if_asked(self, message: str = "") -> None:
        """End the program as the signal would have ended it."""
        if self.asked is signal.SIGINT:
            raise KeyboardInterrupt(message)
        if self.asked is not None:
            raise SystemExit(128 + self.asked)
