"""Turning file descriptor 2 aside while a library writes there what no logging level stops."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """What is written to standard error meanwhile, by native code too, is shown only when the block fails."""
    with contextlib.suppress(Exception):
        sys.stderr.flush()
    with tempfile.TemporaryFile() as aside:
        try:
            original = os.dup(2)
        except OSError:  # standard error is closed: nothing to quieten
            yield
            return
        os.dup2(aside.fileno(), 2)
        try:
            yield
        except BaseException:
            aside.seek(0)
            os.write(original, aside.read())
            raise
        finally:
            os.dup2(original, 2)
            os.close(original)
