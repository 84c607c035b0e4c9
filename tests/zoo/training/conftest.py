from __future__ import annotations

import zoo.startup

# isort: split
import pytest
from stock_twins import BATCH

import zoo


@pytest.fixture(scope="module")
def digits() -> zoo.DataSplits:
    data = zoo.load_dataset("digits", limit=200)
    assert len(data.train) % BATCH  # the last batch is partial
    assert data.validation is not None
    return data


@pytest.fixture(scope="module")
def blobs() -> zoo.DataSplits:
    return zoo.load_dataset("blobs")  # 180 examples to train on: 12 steps an epoch, the last with 4
