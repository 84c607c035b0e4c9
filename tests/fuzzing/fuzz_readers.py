"""Every reader of files that a stranger can hand over, as a function of bytes, with files that it should read.

What has a checksum gets the right one for whatever its bytes are: whoever can write a file can write its checksum, and a fuzzer
that had to guess it would try nothing but the comparison.
"""

from __future__ import annotations

import functools
import sys
from pathlib import Path

from fuzz_inputs import image_samples, open_image, read_weights, weight_samples
from fuzz_reading import Reader
from fuzz_results import (
    PREDICTIONS,
    ROBUSTNESS,
    certificate_samples,
    check_certificate,
    check_signed_certificate,
    describe_holder,
    example_samples,
    read_examples,
    read_predictions,
    read_robustness,
    report_certificate,
    study_samples,
    write_study,
    write_study_picture,
)
from fuzz_searches import (
    journal_samples,
    load_checked_journal,
    load_journal,
    load_recorded,
    record_samples,
    recorded_samples,
    resume_journal,
    resumed_samples,
)
from fuzz_trainings import (
    RUN,
    feature_samples,
    load_model,
    load_model_part,
    load_run_file,
    load_state,
    model_parts,
    packed,
    read_features,
    state_samples,
)

from zoo.errors import ZooError

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests" / "zoo" / "weights"), str(ROOT / "tests" / "tuning"), str(ROOT / "scripts")]
sys.path.insert(0, str(ROOT / "tests" / "tuning" / "oracles"))

SAVED = ("zoo.models.saved", "keras.src.saving", "keras.src.models", "keras.src.layers")
READERS: dict[str, Reader] = {
    "weights": Reader(read_weights, weight_samples, ("zoo.weights", "numpy.lib", "zipfile")),
    "images": Reader(open_image, image_samples, ("zoo.data.images", "PIL")),
    "certificate": Reader(check_certificate, certificate_samples, ("zoo.exporting",)),
    "signed-certificate": Reader(check_signed_certificate, certificate_samples, ("zoo.exporting",)),
    "examples": Reader(read_examples, example_samples, ("zoo.exporting", "numpy.lib", "zipfile")),
    "journal": Reader(load_journal, journal_samples, ("tuning",)),
    "checked-journal": Reader(load_checked_journal, record_samples, ("tuning",)),
    "resumed-journal": Reader(resume_journal, resumed_samples, ("tuning",), heavy=True),
    "recorded-grid": Reader(load_recorded, recorded_samples, ("tuning",)),
    **{
        name.replace(".", "-"): Reader(
            functools.partial(load_run_file, name), lambda c=content: [c], ("zoo", "pandas.io")
        )
        for name, content in RUN.items()
    },
    "features": Reader(read_features, feature_samples, ("zoo.features", "numpy.lib")),
    "reported-certificate": Reader(report_certificate, certificate_samples, ("zoo.reporting", "report")),
    "predictions": Reader(read_predictions, lambda: [PREDICTIONS], ("zoo", "report", "pandas.io")),
    "robustness": Reader(read_robustness, lambda: [ROBUSTNESS], ("zoo", "report", "pandas.io")),
    "study": Reader(write_study, study_samples, ("zoo.reporting",)),
    "study-picture": Reader(write_study_picture, lambda: image_samples()[:4], ("zoo.reporting", "PIL")),
    "lock-holder": Reader(
        describe_holder, lambda: [b'{"pid": 1, "host": "a", "command": "b", "since": "c"}'], ("zoo.storage",)
    ),
    "state": Reader(load_state, state_samples, ("zoo.training.state", "numpy.lib", "zipfile"), heavy=True),
    "model-file": Reader(load_model, lambda: [packed(model_parts())], (*SAVED, "zipfile"), heavy=True),
    "model-config": Reader(
        functools.partial(load_model_part, "config.json"), lambda: [model_parts()["config.json"]], SAVED, heavy=True
    ),
    "model-weights": Reader(
        functools.partial(load_model_part, "model.weights.h5"),
        lambda: [model_parts()["model.weights.h5"]],
        (*SAVED, "h5py"),
        heavy=True,
    ),
}


def fault(reader: Reader, folder: Path, content: bytes) -> str | None:
    """What is wrong with how bytes are read; `None` where they are read, or refused in one line."""
    try:
        reader.read(folder, content)
    except ZooError as error:
        return None if len(str(error).splitlines()) == 1 else f"a message of several lines: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return None
