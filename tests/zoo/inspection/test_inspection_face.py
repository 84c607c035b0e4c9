"""The public names."""

from __future__ import annotations

import subprocess
import sys

import pytest

import zoo.inspection


def test_all_names_are_there_and_documented():
    assert sorted(zoo.inspection._PUBLIC) == zoo.inspection.__all__ == dir(zoo.inspection)
    for name in zoo.inspection.__all__:
        assert getattr(zoo.inspection, name).__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = zoo.inspection.nothing


def test_importing_loads_no_tensorflow():
    code = "import sys, zoo.inspection; sys.exit('tensorflow' in sys.modules or 'matplotlib' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
