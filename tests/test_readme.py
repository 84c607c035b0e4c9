"""What README and CONTRIBUTING say is true."""

import os
import re
from pathlib import Path

import numpy as np
import pytest
import study
from PIL import Image

import zoo

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_the_python_examples_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(blocks) == 5
    names = {}
    for block in blocks:
        if "photos" not in block:
            exec(compile(block.replace("repeats=20", "repeats=4"), "README.md", "exec"), names)
    assert names["score"].accuracy > 0.97
    assert len(names["result"].table) == 4
    assert names["fooled"].median > 0
    assert {"maps.png", "robustness.png"} <= {f.name for f in tmp_path.iterdir()}
    assert {"report.html", "export", "model.keras"} <= {f.name for f in (tmp_path / "runs" / "cnn").iterdir()}


@pytest.mark.skipif(
    not (Path(os.environ.get("ZOO_WEIGHTS_DIR", "")) / "resnet20-12fca82f.th").is_file(),
    reason="the published weights of resnet20 are not here (ZOO_WEIGHTS_DIR)",
)
def test_the_example_with_photographs_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    for place, name in enumerate(("cat", "dog")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(20):
            pixels = random.integers(0, 128, (40, 30, 3)) + 100 * (np.arange(3) == place)
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "photos" / name / f"{i}.png")
    (block,) = [b for b in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "photos" in b]
    names = {}
    exec(compile(block.replace("max_trials=30", "max_trials=4"), "README.md", "exec"), names)
    assert names["result"].best_score > 0.9
    assert names["result"].table["fine_tuned"].notna().sum() == 1
    assert (tmp_path / "runs" / "photos" / "seed-0" / "model.keras").exists()
    assert (tmp_path / "classes.png").stat().st_size > 1000


def test_the_example_of_the_report_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "report.md").read_text(), re.DOTALL)
    exec(compile(block, "docs/report.md", "exec"), {})
    page = (tmp_path / "report.html").read_text()
    table = (ROOT / "docs" / "report.md").read_text()
    for title in re.findall("<h2>(.*?)</h2>", page):
        assert f"| {title} |" in table, title
    assert (tmp_path / "plots" / "calibration.png").exists()


def test_the_tables_name_every_model_data_set_script_and_study():
    for name in [*zoo.list_models(), *zoo.list_datasets(), *study.STUDIES]:
        assert f"`{name}`" in README, name
    for script in (ROOT / "scripts").glob("*.py"):
        is_module = "def main(" not in script.read_text()  # what scripts share
        assert is_module or f"scripts/{script.name}" in README, script.name


def test_every_file_that_the_documents_name_exists():
    for document in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"):
        for path in re.findall(r"`((?:zoo|tuning|tests|scripts)/[\w/.]+)`", (ROOT / document).read_text()):
            assert (ROOT / path).exists(), f"{document}: {path}"
