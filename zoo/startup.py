"""Importing TensorFlow without its start-up chatter.

Every module of the zoo that needs TensorFlow or Keras says `import zoo.startup` before it imports them. TensorFlow writes
some start-up lines straight to file descriptor 2, whatever TF_CPP_MIN_LOG_LEVEL says, so the descriptor itself is
turned aside while the import runs; what was written is shown after all when the import fails.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def _quiet_stderr() -> Iterator[None]:
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


def _start() -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with _quiet_stderr():
        import tensorflow as tf
        from absl import logging

        tf.config.list_physical_devices()  # looks for a GPU now, so that its absence is not reported later
        logging.set_verbosity(logging.ERROR)
        tf.get_logger().setLevel("ERROR")


_start()
