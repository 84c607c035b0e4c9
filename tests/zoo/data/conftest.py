from __future__ import annotations

import os
from pathlib import Path

# TFDS reads the variable once, when it is imported: it is set before any test module is.
_SHARED = Path(__file__).parents[4] / "shared" / "datasets"
if _SHARED.is_dir():
    os.environ.setdefault("TFDS_DATA_DIR", str(_SHARED))
