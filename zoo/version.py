"""The one place where the version is written, and the versions that a number depends on."""

from __future__ import annotations

import importlib.metadata
import platform

__version__ = "0.1.0"

_PACKAGES = ("tensorflow", "keras", "numpy")


def versions() -> dict[str, str]:
    """Versions of what computes: python, keras-zoo (also of a checkout that nobody installed), and packages that are there."""
    found = {"python": platform.python_version(), "keras-zoo": __version__}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:  # such as TensorFlow's, which goes by several names
            continue
    return found
