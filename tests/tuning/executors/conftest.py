from __future__ import annotations

import signal

import psutil
import pytest


@pytest.fixture
def leaves_nothing():
    """No test leaves a child behind."""
    before = set(psutil.Process().children(recursive=True))
    yield
    left = [child for child in psutil.Process().children(recursive=True) if child not in before]
    assert not left


@pytest.fixture
def interruptible():
    """Ctrl-C interrupts, also where the tests run in a shell's background, which begins them with it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
