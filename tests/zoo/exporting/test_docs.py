"""The examples of docs/exporting.md, each in a process that has nothing but what it imports."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import zoo
from zoo.exporting.formats import FORMATS, is_runnable

DOCS = (Path(__file__).parents[3] / "docs" / "exporting.md").read_text()
WITH_ZOO, *EXAMPLES = re.findall(r"```python\n(.*?)```", DOCS, re.DOTALL)
RUNTIMES = {"saved_model": "import tensorflow", "onnx": "onnxruntime", "litert": "ai_edge_litert"}
FOREIGN = {"zoo", "tuning", "keras", "tf_keras"}
WITHOUT = """
import sys
class Without:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in {absent!r} else self.finder.find_spec(name, path, target)
sys.meta_path[:] = map(Without, sys.meta_path)
{example}
assert not set({absent!r}) & set(sys.modules)
"""


def test_there_is_an_example_for_each_runtime():
    assert len(EXAMPLES) == len(RUNTIMES)
    assert all(max(map(len, example.splitlines())) < 120 for example in EXAMPLES)
    assert all(len([line for line in example.splitlines() if line.strip()]) < 10 for example in EXAMPLES)
    assert all(f"`{name}`" in DOCS for name in FORMATS)


@pytest.mark.skipif(not is_runnable("onnx"), reason="the extra onnx is not installed")
def test_the_example_with_zoo_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = zoo.load_dataset("digits")
    model = zoo.build("softmax", data.input_shape, data.num_classes)
    zoo.train(model, data, zoo.Recipe(epochs=1), output_dir="runs/digits-cnn", verbose=False)
    names = {}
    exec(WITH_ZOO, names)
    np.testing.assert_allclose(names["probabilities"].sum(axis=1), np.ones(8), rtol=1e-5)


@pytest.mark.parametrize("name", RUNTIMES)
def test_an_example_gives_the_answer_of_the_model(colours, tmp_path, name):
    if not is_runnable(name):
        pytest.skip(f"what runs {name} is not installed")
    folder, _, data = colours
    (example,) = (e for e in EXAMPLES if RUNTIMES[name] in e)
    (tmp_path / "export").symlink_to(folder)
    Image.fromarray(data.test.inputs[1]).resize((24, 20)).save(tmp_path / "photo.jpg", quality=95)
    absent = FOREIGN if name == "saved_model" else FOREIGN | {"tensorflow"}
    program = WITHOUT.format(absent=sorted(absent), example=example)
    done = subprocess.run([sys.executable, "-I", "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    answer, probability = done.stdout.strip().rsplit(" ", 1)
    expected = zoo.load_exported(folder, format=name).predict([tmp_path / "photo.jpg"])[0]
    assert answer == data.class_names[expected.argmax()]
    assert float(probability) == pytest.approx(expected.max(), abs=1e-4 if name == "saved_model" else 0.02)
    assert np.argmax(expected) == data.test.labels[1]
