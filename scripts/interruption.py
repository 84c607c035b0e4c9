"""SIGTERM and Ctrl-C, also where Python or a library makes something else of them."""

from __future__ import annotations

import _thread
import contextlib
import math
import os
import signal
import sys
import time
from types import FrameType, TracebackType
from typing import Any, NoReturn

_AGAIN = 0.01  # seconds after which a dropped one comes again
_LASTS = 60.0  # seconds in which an error is held for what became of one


class Interruption:
    """Within its block SIGTERM ends a script as Ctrl-C does: with files and locks in order.

    A KeyboardInterrupt that Python drops, because the signal came in a `__del__` or a weak reference's callback, comes again.
    """

    def __init__(self) -> None:
        self._received = -math.inf
        self._handlers: dict[int, Any] = {}
        self._hook = sys.unraisablehook

    def __enter__(self) -> Interruption:
        with contextlib.suppress(ValueError):  # refused outside the main thread
            self._handlers[signal.SIGTERM] = signal.signal(signal.SIGTERM, self._stop)
            if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # in the background it is ignored
                self._handlers[signal.SIGINT] = signal.signal(signal.SIGINT, self._stop)
        sys.unraisablehook = self._dropped
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        sys.unraisablehook = self._hook
        for number, handler in self._handlers.items():
            signal.signal(number, handler or signal.SIG_DFL)

    @property
    def is_recent(self) -> bool:
        """Whether one came within the last minute. TensorFlow makes errors of other kinds of it, which do not say so."""
        return time.monotonic() - self._received < _LASTS

    def _stop(self, number: int, frame: FrameType | None) -> NoReturn:
        self._received = time.monotonic()
        raise KeyboardInterrupt

    def _dropped(self, what: sys.UnraisableHookArgs) -> None:
        if what.exc_type is KeyboardInterrupt:
            _thread.start_new_thread(self._again, ())  # at once it would be raised in here, and dropped too
        else:
            self._hook(what)

    def _again(self) -> None:
        time.sleep(_AGAIN)
        if signal.getsignal(signal.SIGTERM) != self._stop:  # the block has ended
            return
        if os.name == "posix":
            os.kill(os.getpid(), signal.SIGTERM)  # ends a wait of the main thread too
        else:
            _thread.interrupt_main(signal.SIGTERM)
