"""Every reader of files that a stranger can hand over, as a function of bytes, with files that it should read.

What has a checksum gets the right one for whatever its bytes are: whoever can write a file can write its checksum, and a fuzzer
that had to guess it would try nothing but the comparison.
"""

from __future__ import annotations

import dataclasses
import functools
import gzip
import hashlib
import io
import json
import sys
import tempfile
import types
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from zoo.errors import ZooError

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests" / "zoo" / "weights"), str(ROOT / "tests" / "tuning"), str(ROOT / "scripts")]
sys.path.insert(0, str(ROOT / "tests" / "tuning" / "oracles"))


@dataclasses.dataclass(frozen=True)
class Reader:
    """A reader to be tried.

    Attributes:
        read: what reads bytes as a file in a folder; a file that is none gives a `ZooError` and nothing else.
        samples: makes files that are as they should be.
        modules: beginnings of the names of modules whose lines guide the search.
        heavy: whether TensorFlow is imported for it.
    """

    read: Callable[[Path, bytes], Any]
    samples: Callable[[], list[bytes]]
    modules: tuple[str, ...]
    heavy: bool = False


def _put(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.unlink(missing_ok=True)  # the old one may be mapped into memory
    path.write_bytes(content)
    return path


# Published weights


def _weights(folder: Path, content: bytes) -> None:
    from zoo.weights.readers import read_tensors

    for array in read_tensors(_put(folder, "weights.bin", content)).values():
        array.sum()  # what is a view of the file is read


def _weight_samples() -> list[bytes]:
    from weight_files import GOOD

    saved = io.BytesIO()
    np.save(saved, {"conv1": {"weights": np.ones((2, 3)), "biases": np.ones(3)}}, allow_pickle=True)
    return [*GOOD.values(), saved.getvalue()]


# Images


def _image(folder: Path, content: bytes) -> None:
    from zoo.data.images import image_header, read_image

    path = _put(folder, "image.png", content)
    try:
        image_header(path)
    finally:
        read_image(path, None, 3)
        read_image(path, (8, 9), 1, "crop")


def _image_samples() -> list[bytes]:
    pixels = np.random.default_rng(0).integers(0, 255, (9, 11, 3), np.uint8)
    colours, samples = Image.fromarray(pixels), []
    exif = Image.Exif()
    exif[0x0112] = 6
    kinds: list[tuple[str, Image.Image, dict[str, Any]]] = [
        ("PNG", colours, {}),
        ("PNG", Image.fromarray(pixels[..., 0].astype(np.uint16) * 257), {}),
        ("PNG", colours.convert("P"), {"transparency": 3}),
        ("PNG", colours.convert("RGBA"), {"exif": exif}),
        ("JPEG", colours, {"exif": exif}),
        ("JPEG", colours.convert("CMYK"), {"progressive": True}),
        ("GIF", colours, {}),
        ("BMP", colours, {}),
        ("TIFF", colours, {"compression": "tiff_lzw"}),
        ("TIFF", colours.convert("I"), {}),
        ("WEBP", colours, {"exif": exif}),
    ]
    for kind, picture, options in kinds:
        file = io.BytesIO()
        picture.save(file, kind, **options)
        samples.append(file.getvalue())
    return samples


# Exports


_CERTIFICATE: dict[str, Any] = {
    "checks": {
        "onnx": {
            "examples": 64,
            "max_abs_difference": 1e-7,
            "top1_agreement": 1.0,
            "tolerance": 1e-5,
            "size_bytes": 1000,
            "latency_ms": 0.1,
            "latency_p95_ms": 0.2,
        }
    },
    "files": {"model.onnx": "0" * 64, "examples.npz": "1" * 64, "README.md": "2" * 64},
    "class_names": ["cat", "dog"],
    "input": {"shape": [8, 8, 1], "dtype": "uint8", "scale": 1 / 255},
    "versions": {"keras": "3.15"},
    "data": {"name": "digits"},
    "created": "2026-01-01 12:00:00",
    "model": {"name": "cnn"},
    "recipes": [{"epochs": 3}],
    "metrics": {"accuracy": 0.9},
    "intended_use": "",
    "limits": ["none"],
}


def _certificate(folder: Path, content: bytes) -> None:
    from zoo.exporting.certificate import read_certificate

    _put(folder, "certificate.json", content)
    certificate = read_certificate(folder)
    certificate.check_files()


def _signed_certificate(folder: Path, content: bytes) -> None:
    from zoo.exporting.certificate import _signed

    try:
        facts = json.loads(content)
        signed = _signed({k: v for k, v in facts.items() if k != "sha256"}).encode()
    except (ValueError, AttributeError, RecursionError, TypeError):
        signed = content
    _certificate(folder, signed)


def _certificate_samples() -> list[bytes]:
    return [json.dumps({"format_version": 2, **_CERTIFICATE}).encode()]


def _examples(folder: Path, content: bytes) -> None:
    from zoo.exporting.checking import load_reference

    load_reference(_put(folder, "examples.npz", content), (4, 4, 1), 3)


def _example_samples() -> list[bytes]:
    inputs, scores = np.zeros((5, 4, 4, 1), np.uint8), np.full((5, 3), 1 / 3, np.float32)
    arrays = {"inputs": inputs, "probabilities": scores, "edges": inputs[:2], "edge_probabilities": scores[:2]}
    plain, small = io.BytesIO(), io.BytesIO()
    np.savez(plain, **arrays)
    np.savez_compressed(small, **arrays)
    return [plain.getvalue(), small.getvalue()]


# Searches


def _journal(folder: Path, content: bytes) -> None:
    import tuning

    _put(folder, "journal.jsonl", content)
    result = tuning.load_result(folder)
    assert len(result.table) == len(result.trials) <= len(result.epochs) + len(result.runs) + len(result.trials)
    result._summary()  # what `result.write()` writes, without the disk
    result.best_options  # noqa: B018


def _checked_journal(folder: Path, content: bytes) -> None:
    """Records, a line each, that get the checksums that they ought to have."""
    _journal(folder, _with_checksums(content))


def _with_checksums(content: bytes) -> bytes:
    lines = []
    for line in content.splitlines():
        try:
            text = json.dumps(json.loads(line), separators=(",", ":"))
        except (ValueError, RecursionError):
            text = line.decode("utf-8", "replace")
        lines.append(f'{{"crc32": "{zlib.crc32(text.encode("utf-8", "replace")):08x}", "record": {text}}}\n')
    return "".join(lines).encode("utf-8", "replace")


def _resumed_journal(folder: Path, content: bytes) -> None:
    """Records that get the checksums that they ought to have, and a search that goes on from them."""
    from oracle_play import aim, make
    from search_records import header

    from tuning import oracles
    from tuning.checkpoints import Checkpoints
    from tuning.journal import Journal
    from tuning.loop import Budget, SearchLoop
    from tuning.progress import SearchProgress
    from tuning.task import Setting

    _put(folder, "journal.jsonl", _with_checksums(content))
    oracle = make("random", _resumed_space(), objective=aim())
    data = types.SimpleNamespace(train=types.SimpleNamespace(store=None))
    setting = Setting(None, data, None, "quality", "max")
    shown = SearchProgress(objective="quality", direction="max", verbose=False)
    checkpoints = Checkpoints(folder, direction="max", keep_best=1)
    with Journal(folder, header()) as journal, oracles.opened(oracle):
        plan = types.SimpleNamespace(oracle=oracle, setting=setting)
        loop = SearchLoop(plan, journal, checkpoints, shown, Budget(None, None, None), retries=0)
        loop.replay()
        loop.has_work()


def _resumed_samples() -> list[bytes]:
    from oracle_play import aim, make
    from search_records import header, record

    from tuning import oracles

    oracle, records = make("random", _resumed_space(), objective=aim()), [{"kind": "header", **header()}]
    with oracles.opened(oracle):
        for number in range(3):
            trial = oracle.create_trial(f"trial-{number}")
            asked, config = trial.hyperparameters.values, trial.hyperparameters.get_config()
            records.append({"kind": "asked", "trials": [{"number": number, "values": asked, "together": False}]})
            told = {"asked": asked, "hyperparameters": config if number == 1 else None}
            records += [{"kind": "retried", "number": number}] if number == 1 else []
            records += [record(number, 0.5, asked, **told)] if number < 2 else []  # the last one was running
    return ["\n".join(map(json.dumps, records)).encode()]


def _resumed_space() -> Any:
    import keras_tuner

    space = keras_tuner.HyperParameters()
    space.Float("l2", 0.0, 1.0, step=0.25)
    space.Choice("kind", ["plain", "deep"])
    with space.conditional_scope("kind", ["deep"]):
        space.Int("units", 1, 512, sampling="log")
    return space


def _record_samples() -> list[bytes]:
    from search_records import header, record, run

    folds = [run(0.5, fold=fold) for fold in range(2)]
    rung = {"l2": 1e-3, "tuner/epochs": 3, "tuner/initial_epoch": 1, "tuner/bracket": 1, "tuner/round": 1}
    asked = {"kind": "asked", "trials": [{"number": 0, "values": {"l2": 0.1}, "together": False}]}
    plain = [header(), asked, record(0, 0.5), record(1, None), record(2, float("nan")) | {"attempts": 2}]
    richer = [
        header(folds=2, fine_tune=header()["recipe"], max_epochs=9),
        record(0, 0.4, runs=folds),
        record(1, 0.6, rung | {"tuner/trial_id": "0000"}, runs=folds) | {"parent": 0},
        record(1, 0.7, runs=folds) | {"kind": "fine_tuned"},
    ]
    return [
        "\n".join(json.dumps(one if "kind" in one else {"kind": "header", **one}) for one in records).encode()
        for records in (plain, richer)
    ]


def _journal_samples() -> list[bytes]:
    samples = []
    for records in _record_samples():
        texts = [json.dumps(json.loads(line), separators=(",", ":")) for line in records.splitlines()]
        lines = [f'{{"crc32": "{zlib.crc32(text.encode()):08x}", "record": {text}}}\n' for text in texts]
        samples.append("".join(lines).encode())
    return samples


def _recorded(folder: Path, content: bytes) -> None:
    from tuning.replay import RecordedGrid

    is_packed = content[:2] == b"\x1f\x8b"
    RecordedGrid.load(_put(folder, "grid.json.gz", content if is_packed else gzip.compress(content, 1)))


def _recorded_samples() -> list[bytes]:
    document = {
        "about": {"model": "mlp"},
        "objective": "val_accuracy",
        "direction": "max",
        "parameters": {"l2": [0.0, 0.1], "units": [8]},
        "curves": [[0.5, 0.6], [None, 0.7]],
        "seconds": [[0.1, 0.1], [0.2, 0.2]],
    }
    content = json.dumps(document).encode()
    return [content, gzip.compress(content, mtime=0)]


# Runs


_RUN = {
    "config.json": json.dumps(
        {
            "data": {"name": "digits", "limit": 10},
            "model": {"name": "mlp", "options": {"units": [8]}, "input_shape": [8, 8, 1], "num_classes": 10},
            "recipes": [{"optimizer": "adam", "epochs": 2, "augment": ["crop"]}],
            "versions": {"keras": "3.15"},
        }
    ).encode(),
    "result.json": json.dumps(
        {
            "metrics": {"loss": 0.5, "x": None},
            "best": {"epoch": 1},
            "stopped_early": False,
            "phases": [],
            "seconds": 1.5,
        }
    ).encode(),
    "history.csv": b"phase,epoch,loss,data_loss,accuracy\n0,0,1.5,1.25,0.5\n0,1,1.0,,0.75\n",
    "steps.csv": b"step,loss,data_loss\n0,1.5,1.25\n",
    "validations.csv": b"phase,epoch,step,val_loss\n0,0,10,1.5\n",
}


def _run_file(name: str, folder: Path, content: bytes) -> None:
    from zoo.training import run

    run._load_model = lambda path: types.SimpleNamespace()  # the files of models have a reader of their own
    for other, sound in _RUN.items():
        _put(folder, other, sound)
    _put(folder, name, content)
    run.config_changes(folder, {"data": {}, "model": {}, "recipes": []})
    loaded = run.load_run(folder)
    loaded.recipes  # noqa: B018


def _state(folder: Path, content: bytes) -> None:
    from zoo.training.state import State

    State.load(_put(folder, "state.npz", content)).group("model")


def _state_samples() -> list[bytes]:
    records = {
        "epochs": [{"epoch": 0}],
        "earlier_validations": [],
        "phase_start": 0,
        "phase_first_step": 0,
        "elapsed": 0.5,
    }
    facts = {"phase": 0, "epoch": 1, "step": 2, "seconds": 1.5, "records": records, "validations": {"best": None}}
    file = io.BytesIO()
    arrays = {"model/0": np.ones((2, 3), np.float32), "losses": np.zeros((1, 2)), "steps": np.zeros((2, 2))}
    np.savez(file, facts=np.frombuffer(json.dumps(facts).encode(), np.uint8), **arrays)
    return [file.getvalue()]


def _features(folder: Path, content: bytes) -> None:
    from zoo.features.cache import _begun, _read

    path = _put(folder, "features.npy", content)
    _put(folder, "about.json", json.dumps({"sha256": hashlib.sha256(content).hexdigest()}).encode())
    _read(folder, (3, 4), np.dtype(np.float32))
    _put(folder, "done.json", content[-12:])
    path.write_bytes(content)
    _begun(folder, (3, 4), np.dtype(np.float32))


def _feature_samples() -> list[bytes]:
    file = io.BytesIO()
    np.save(file, np.zeros((3, 4), np.float32))
    return [file.getvalue(), file.getvalue()[:-12] + b'{"rows": 02}']


# Tables, reports and studies


def _reported_certificate(folder: Path, content: bytes) -> None:
    import report

    from zoo.reporting.page import write_report

    _put(folder, "certificate.json", content)
    write_report(folder / "report.html", certificate=report._read_certificate(folder))


def _predictions(folder: Path, content: bytes) -> None:
    import report

    report._read_predictions(_put(folder, "predictions.csv", content))


def _robustness(folder: Path, content: bytes) -> None:
    import report

    _put(folder, "robustness.csv", content)
    report._read_robustness(folder)


def _study(folder: Path, content: bytes) -> None:
    from zoo.reporting.studies import write_document, write_index

    (folder / "momentum").mkdir(exist_ok=True)
    _put(folder / "momentum", "a.png", _image_samples()[0])
    _put(folder / "momentum", "result.json", content)
    write_index(folder, ["momentum"])
    write_document(folder / "studies.md", folder, ["momentum"])


def _study_picture(folder: Path, content: bytes) -> None:
    from zoo.reporting.studies import write_document, write_index

    (folder / "momentum").mkdir(exist_ok=True)
    _put(folder / "momentum", "a.png", content)
    _put(folder / "momentum", "result.json", _study_samples()[0])
    write_index(folder, ["momentum"])
    write_document(folder / "studies.md", folder, ["momentum"])


def _study_samples() -> list[bytes]:
    entry = {"label": "a", "measured": 0.5, "expected": 0.6, "verdict": "not met", "tolerance": 0.01, "why": "x"}
    other = {"label": "b", "measured": None, "expected": None, "verdict": None, "relation": "at least"}
    result = {
        "numbers": {"a": entry, "b": other},
        "answers": [{"question": "Why?", "answer": "So."}],
        "figures": {"a.png": "A picture"},
        "question": "Is it?",
        "command": "study.py run momentum",
        "full": True,
        "seconds": 12.5,
        "cores": 2,
        "versions": {"keras": "3.15", "torch": None},
    }
    return [json.dumps(result).encode()]


def _holder(folder: Path, content: bytes) -> None:
    from zoo.storage import DirectoryLock

    _put(folder, ".lock-holder.json", content)
    DirectoryLock(folder)._describe_holder()


# Models


@functools.cache
def _model_parts() -> dict[str, bytes]:
    import zoo

    model = zoo.build("mlp", (4, 4, 1), 3, units=4, dropout=0.25, batch_normalization=True)
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / "model.keras")
        with zipfile.ZipFile(Path(folder) / "model.keras") as archive:
            return {name: archive.read(name) for name in archive.namelist()}


def _packed(parts: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in parts.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return file.getvalue()


def _model(folder: Path, content: bytes) -> None:
    from zoo.models.saved import load_model_file

    load_model_file(_put(folder, "model.keras", content))


def _model_part(name: str, folder: Path, content: bytes) -> None:
    _model(folder, _packed(_model_parts() | {name: content}))


_SAVED = ("zoo.models.saved", "keras.src.saving", "keras.src.models", "keras.src.layers")
READERS: dict[str, Reader] = {
    "weights": Reader(_weights, _weight_samples, ("zoo.weights", "numpy.lib", "zipfile")),
    "images": Reader(_image, _image_samples, ("zoo.data.images", "PIL")),
    "certificate": Reader(_certificate, _certificate_samples, ("zoo.exporting",)),
    "signed-certificate": Reader(_signed_certificate, _certificate_samples, ("zoo.exporting",)),
    "examples": Reader(_examples, _example_samples, ("zoo.exporting", "numpy.lib", "zipfile")),
    "journal": Reader(_journal, _journal_samples, ("tuning",)),
    "checked-journal": Reader(_checked_journal, _record_samples, ("tuning",)),
    "resumed-journal": Reader(_resumed_journal, _resumed_samples, ("tuning",), heavy=True),
    "recorded-grid": Reader(_recorded, _recorded_samples, ("tuning",)),
    **{
        name.replace(".", "-"): Reader(functools.partial(_run_file, name), lambda c=content: [c], ("zoo", "pandas.io"))
        for name, content in _RUN.items()
    },
    "features": Reader(_features, _feature_samples, ("zoo.features", "numpy.lib")),
    "reported-certificate": Reader(_reported_certificate, _certificate_samples, ("zoo.reporting", "report")),
    "predictions": Reader(_predictions, lambda: [_PREDICTIONS], ("zoo", "report", "pandas.io")),
    "robustness": Reader(_robustness, lambda: [_ROBUSTNESS], ("zoo", "report", "pandas.io")),
    "study": Reader(_study, _study_samples, ("zoo.reporting",)),
    "study-picture": Reader(_study_picture, lambda: _image_samples()[:4], ("zoo.reporting", "PIL")),
    "lock-holder": Reader(
        _holder, lambda: [b'{"pid": 1, "host": "a", "command": "b", "since": "c"}'], ("zoo.storage",)
    ),
    "state": Reader(_state, _state_samples, ("zoo.training.state", "numpy.lib", "zipfile"), heavy=True),
    "model-file": Reader(_model, lambda: [_packed(_model_parts())], (*_SAVED, "zipfile"), heavy=True),
    "model-config": Reader(
        functools.partial(_model_part, "config.json"), lambda: [_model_parts()["config.json"]], _SAVED, heavy=True
    ),
    "model-weights": Reader(
        functools.partial(_model_part, "model.weights.h5"),
        lambda: [_model_parts()["model.weights.h5"]],
        (*_SAVED, "h5py"),
        heavy=True,
    ),
}
_PREDICTIONS = (
    b"index,true,predicted,correct,confidence,loss,p(a),p(b)\n0,a,a,True,0.9,0.1,0.9,0.1\n1,b,a,False,0.6,0.9,0.6,0.4\n"
)
_ROBUSTNESS = b"corruption,strength,unit,n,correct,accuracy,low,high\nnoise,0.5,sigma,10,9,0.9,0.8,0.95\n"


def fault(reader: Reader, folder: Path, content: bytes) -> str | None:
    """What is wrong with how bytes are read; `None` where they are read, or refused in one line."""
    try:
        reader.read(folder, content)
    except ZooError as error:
        return None if len(str(error).splitlines()) == 1 else f"a message of several lines: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return None
