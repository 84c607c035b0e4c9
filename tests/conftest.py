from __future__ import annotations

import gc


def pytest_collection_finish() -> None:
    """What was imported, a million objects of TensorFlow's, is not looked through again at each collection.

    And collections are rarer: tracing a graph makes many objects and no garbage. A seventh of the suite's time was theirs.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(5_000, 10, 10)
