"""What all tests have: a cache of their own, so that nothing is found that an earlier run left."""

import os
import tempfile

_CACHE = tempfile.TemporaryDirectory(prefix="zoo-cache-")
os.environ["ZOO_CACHE_DIR"] = _CACHE.name
