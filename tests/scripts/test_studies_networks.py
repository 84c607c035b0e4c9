"""The studies of convolutional networks and of transfer run with --fast; the others do in `test_studies.py`."""

import pytest
from test_studies import NETWORKS, check_fast


@pytest.mark.parametrize("name", NETWORKS)
def test_every_study_of_networks_runs_fast(name, tmp_path):
    check_fast(name, tmp_path)
