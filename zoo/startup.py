"""Importing TensorFlow without its start-up chatter.

Every module of the zoo that needs TensorFlow or Keras says `import zoo.startup` before it imports them. TensorFlow writes
some start-up lines straight to file descriptor 2, whatever TF_CPP_MIN_LOG_LEVEL says, so the descriptor itself is
turned aside while the import runs; what was written is shown after all when the import fails.
"""

from __future__ import annotations

import os

from zoo.quiet import quiet_stderr


def _start() -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with quiet_stderr():
        import tensorflow as tf
        from absl import logging

        tf.config.list_physical_devices()  # looks for a GPU now, so that its absence is not reported later
        logging.set_verbosity(logging.ERROR)
        tf.get_logger().setLevel("ERROR")


_start()
