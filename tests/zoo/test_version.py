"""The versions that a number depends on."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys

from zoo.version import __version__, versions


def test_python_this_package_and_what_computes():
    found = versions()
    assert list(found) == ["python", "keras-zoo", "tensorflow", "keras", "numpy"]
    assert found["keras-zoo"] == __version__
    assert found["numpy"] == importlib.metadata.version("numpy")


def test_a_checkout_that_nobody_installed_has_its_version_too(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    assert list(versions()) == ["python", "keras-zoo"]
    assert versions()["keras-zoo"] == __version__


def test_the_version_needs_nothing_that_is_installed():
    code = "import sys, zoo.version; sys.exit('numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
