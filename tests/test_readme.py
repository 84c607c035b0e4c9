"""What README and CONTRIBUTING say is true."""

import re
from pathlib import Path

import study

import zoo

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_the_python_examples_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(blocks) == 2
    names = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    assert names["score"].accuracy > 0.9
    assert len(names["result"].table) == 4
    assert {"report.html", "export", "model.keras"} <= {f.name for f in (tmp_path / "runs" / "cnn").iterdir()}


def test_the_tables_name_every_model_data_set_script_and_study():
    for name in [*zoo.list_models(), *zoo.list_datasets(), *study.list_studies()]:
        assert f"`{name}`" in README, name
    for script in (ROOT / "scripts").glob("*.py"):
        assert script.stem == "command" or f"scripts/{script.name}" in README, script.name


def test_every_file_that_the_documents_name_exists():
    for document in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"):
        for path in re.findall(r"`((?:zoo|tuning|tests|scripts)/[\w/.]+)`", (ROOT / document).read_text()):
            assert (ROOT / path).exists(), f"{document}: {path}"
