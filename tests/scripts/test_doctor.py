"""What `doctor` finds: versions, extras, folders, and what does not work."""

import importlib.metadata
import sys

import doctor
import pytest

import zoo

REAL_IMPORT = doctor.import_problem


@pytest.fixture
def briefly(monkeypatch):
    """Leaves out what takes long: imports of other packages and the trial run, which have a test of their own."""
    monkeypatch.setattr(doctor, "import_problem", lambda name: None)
    monkeypatch.setattr(doctor, "trial_run", lambda: iter(()))
    return monkeypatch


def test_everything_that_is_installed_works(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert doctor.main([]) == 0
    printed, errors = capsys.readouterr()
    assert errors == ""
    assert " ! " not in printed
    for name in ("tensorflow", "keras", "keras-tuner", "tensorflow-datasets", "matplotlib"):
        assert any(line.split() == [name, importlib.metadata.version(name)] for line in printed.splitlines()), name
    assert f"keras-zoo                {zoo.__version__}" in printed
    assert "test accuracy 0." in printed
    assert "saved_model" in printed.rpartition("export")[2]
    assert list(tmp_path.iterdir()) == []


def test_a_package_that_cannot_be_imported_is_named_and_fails(briefly, capsys):
    problem = "cannot be imported (ImportError: libhdf5.so: no such file)"
    briefly.setattr(doctor, "import_problem", lambda name: problem if name == "h5py" else None)
    assert doctor.main([]) == 1
    printed, errors = capsys.readouterr()
    assert [line for line in printed.splitlines() if line.startswith(" !")] == [f" ! {'h5py':<24} {problem}"]
    assert len(errors.splitlines()) == 1
    assert "h5py" in errors
    assert "make install" in errors


def test_an_extra_that_is_not_installed_is_no_failure(briefly, capsys):
    briefly.setattr(doctor, "import_problem", lambda name: "not installed" if name == "ray" else None)
    assert doctor.main([]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.split()[:1] == ["ray"]]
    assert line.split(maxsplit=1)[1] == "ray: not installed; pip install '.[ray]'"


def test_a_checkout_that_is_not_installed(briefly, capsys):
    def requires(name):
        raise importlib.metadata.PackageNotFoundError(name)

    briefly.setattr(importlib.metadata, "requires", requires)
    assert doctor.main([]) == 1
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 1
    assert "is not installed" in errors[0]
    assert "pip install" in errors[0]


def test_a_tensorflow_that_cannot_be_imported_is_diagnosed(briefly, capsys):
    briefly.setitem(sys.modules, "tensorflow", None)
    assert doctor.main([]) == 1
    printed, errors = capsys.readouterr()
    (line,) = [line for line in printed.splitlines() if line.startswith(" !")]
    assert line.startswith(" ! processor stopped        ModuleNotFoundError: ")
    assert "\nfolders\n" in printed
    assert "\ntrial run\n" in printed
    assert errors.startswith("error: processor stopped: see the lines marked with !")


def test_why_a_package_cannot_be_imported(monkeypatch):
    assert REAL_IMPORT("scikit-learn") is None
    assert REAL_IMPORT("no-such-package") == "not installed"

    def broken(name):
        raise ImportError("libhdf5.so: no such file")

    monkeypatch.setattr(importlib, "import_module", broken)
    assert REAL_IMPORT("h5py") == "cannot be imported (ImportError: libhdf5.so: no such file)"


def test_folders_and_what_lies_there(monkeypatch, tmp_path):
    (tmp_path / "data" / "mnist" / "3.0.1").mkdir(parents=True)
    (tmp_path / "data" / "mnist" / "3.0.1" / "dataset_info.json").write_text("{}")
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "resnet20-12fca82f.th").write_bytes(b"")
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("ZOO_WEIGHTS_DIR", str(tmp_path / "weights"))
    found = {finding.name: finding.text for finding in doctor.folders()}
    assert found["data (TFDS_DATA_DIR)"] == f"{tmp_path / 'data'}: mnist"
    assert found["weights (ZOO_WEIGHTS_DIR)"] == f"{tmp_path / 'weights'}: resnet20-12fca82f.th"
    monkeypatch.delenv("ZOO_WEIGHTS_DIR")
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "nowhere"))
    found = {finding.name: finding.text for finding in doctor.folders()}
    assert found["data (TFDS_DATA_DIR)"].endswith("nothing prepared; downloaded when asked for")
    assert found["weights (ZOO_WEIGHTS_DIR)"] == "not set; downloaded to ~/.keras"
