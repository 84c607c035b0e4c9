"""The scripts on folders of photographs: phases, heads, and data that change."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image
from small_pictures import make_shallow


def test_data_that_changed_since_the_training_are_not_tested_on(call, photographs, tmp_path):
    folder = tmp_path / "photographs"
    shutil.copytree(photographs, folder)
    arguments = ("--model", "softmax", "--dataset", folder, "--epochs", 1, "--output", tmp_path / "run")
    assert call("train", *arguments)[0] == 0
    before = (tmp_path / "run" / "predictions.csv").read_bytes()
    assert call("report", tmp_path / "run")[2] == ""
    for i in range(10):
        Image.new("RGB", (9, 8), (i, i, i)).save(folder / "dog" / f"new{i}.png")  # the split is another one now
    code, _, err = call("report", tmp_path / "run")
    assert code == 0
    assert "note: run is shown without its data: they have changed since the training" in err
    page = (tmp_path / "run" / "report.html").read_text()
    assert "Every test example" in page
    assert f"<dt>Test examples</dt>\n<dd>{before.count(b'.png')}\n" in page
    assert "note: the data have changed since the training" in call("evaluate", tmp_path / "run")[2]


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    folder, random = tmp_path_factory.mktemp("photographs"), np.random.default_rng(0)
    for place, name in enumerate(("cat", "dog")):
        (folder / name).mkdir()
        for i in range(15):
            pixels = random.integers(0, 128, (8, 9, 3)) + 100 * (np.arange(3) == place)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{i}.png")
    return folder


@pytest.fixture
def shallow(monkeypatch):
    make_shallow(monkeypatch)


WITHOUT_FILES = ("--model", "transfer", "--backbone", "resnet20", "--set", "weights=none", "image_size=8")


@pytest.mark.usefixtures("shallow")
def test_photographs_are_trained_in_phases(call, photographs, tmp_path):
    phases = ("--phase", "head:2", "--phase", "stage3_*,predictions:1:1e-4")
    code, _, err = call("train", *WITHOUT_FILES, "--dataset", photographs, *phases, "--output", tmp_path / "run")
    assert code == 0, err
    assert "phase 1 (head): 130 weights learn" in err
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert [(r["trainable"], r["epochs"], r["learning_rate"]) for r in config["recipes"]] == [
        ("head", 2, 0.001),
        (["stage3_*", "predictions"], 1, 0.0001),
    ]
    assert config["data"]["image_size"] == [8, 8]  # the backbone's, since photographs may have any


@pytest.mark.usefixtures("shallow")
def test_heads_are_searched_then_fine_tuned_then_trained(call, photographs, tmp_path):
    search = ("--dataset", photographs, "--values", "learning_rate=1e-5,1e-4", "--method", "grid", "--epochs", 1)
    fine = ("--fine-tune", "predictions:40:0.03", "--fine-tune-top", 1, "--objective", "val_loss")
    code, out, err = call("tune", *WITHOUT_FILES, *search, *fine, "--directory", tmp_path / "s", "--folds", 2)
    assert code == 0, err
    assert "best of 2 trials, fine-tuned: val_loss" in out
    assert "Fine-tuning adds -" in out
    assert call("train", "--from-search", tmp_path / "s", "--output", tmp_path / "run")[0] == 0
    recipes = json.loads((tmp_path / "run" / "config.json").read_text())["recipes"]
    assert [(r["trainable"], r["epochs"]) for r in recipes] == [("head", 1), ("predictions", 40)]
