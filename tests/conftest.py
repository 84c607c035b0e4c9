from __future__ import annotations

import gc
from typing import Any

import pytest

# The files that take longest, longest first: they are begun first, so that no worker waits for one at the end.
LONG = (
    "test_documents.py",
    "test_let_go.py",  # counts all objects: half as long where there are few
    "test_common.py",
    "test_studies_networks.py",
    "test_tuning_kill.py",
    "test_readme.py",
    "test_checking.py",
    "test_tuning_trial.py",
    "test_studies.py",
    "test_every_model.py",
    "test_state.py",
    "test_tuning_together.py",
    "test_search_benchmark.py",
    "test_several_devices.py",
    "test_epochs.py",
    "test_damaged_files.py",
    "test_training_benchmark.py",
    "test_tuning_equality.py",
    "test_streaming.py",
    "test_tuning_ray.py",
    "test_parity.py",
    "test_frozen.py",
    "test_augment.py",
    "test_trainer.py",
    "test_callbacks.py",
    "test_validation.py",
    "test_what_is_trained.py",
    "test_hostile_files.py",
    "test_commands.py",
    "test_honest_models.py",
    "test_transfer.py",
    "test_commands_on_photographs.py",
    "test_tuning_fine_tuning.py",
    "test_tuning_search.py",
    "test_tuning_processes.py",
    "test_tuning_processes_in_scripts.py",
    "test_tuning_dying_workers.py",
    "test_convert.py",
    "test_tuning_heads.py",
    "test_members_benchmark.py",
    "test_tfds_source.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts long files first, and leaves the order within a file."""
    place = {name: number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: place.get(item.path.name, len(LONG)))


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With -n a file is one worker's, in the order above: its fixtures are made once."""
    from xdist.scheduler import LoadFileScheduling

    config.option.loadscopereorder = False  # xdist's own order is by the number of tests
    return LoadFileScheduling(config, log) if config.getoption("dist") == "load" else None


def pytest_collection_finish() -> None:
    """What was imported, a million objects of TensorFlow's, is not looked through again at each collection.

    And collections are rarer: tracing a graph makes many objects and no garbage. A seventh of the suite's time was theirs.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)
