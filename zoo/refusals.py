"""What a disk refuses -> `SaveError`: one line that names the file and says what to do."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Collection, Iterator
from pathlib import Path

from zoo.errors import SaveError

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_REMEDIES = {
    errno.ENOSPC: "free space there, or choose another place",
    errno.EDQUOT: "free space there, or choose another place",
    errno.EFBIG: "raise the limit (ulimit -f), or choose another place",
}


@contextlib.contextmanager
def refusals_told(path: Path, codes: Collection[int] | None = None) -> Iterator[None]:
    """Makes an error of the block that the disk is to blame for a SaveError about `path`.

    Args:
        path: what is written.
        codes: of which errors, e.g. `FULL`, where the block does other things than writing. By default of every OSError.
    """
    try:
        yield
    except Exception as error:
        code, reason = _refusal(error)
        is_refusal = isinstance(error, OSError) or code in FULL if codes is None else code in codes
        if not is_refusal:
            raise
        remedy = _REMEDIES.get(code or 0, "choose another place")
        raise SaveError(f"{path} cannot be written: {reason}; {remedy}") from error


def _refusal(error: BaseException) -> tuple[int | None, str]:
    """The number and the words of what the system refused, also where a library has put errors of its own before it."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno is not None:
            return cause.errno, os.strerror(cause.errno)
        for code in FULL:
            if os.strerror(code) in str(cause):  # native code has words alone
                return code, os.strerror(code)
        cause = cause.__cause__ or cause.__context__
    return None, str(error)
