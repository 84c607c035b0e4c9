"""Every study runs with --fast, and what it says agrees with a referee."""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest
import study

DATASET = {"early_stopping": "digits", "weight_decay": "digits", "photographs": "digits"}  # what is on every machine


@pytest.fixture
def run(tmp_path):
    def call(name, *arguments):
        assert study.main(["run", name, "--output", str(tmp_path), *arguments]) == 0
        return json.loads((tmp_path / name / "result.json").read_text()), tmp_path / name

    return call


def test_list_names_every_study(capsys):
    assert study.main(["list"]) == 0
    shown = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert shown == study.list_studies()
    assert len(shown) >= 3


@pytest.mark.parametrize("name", study.list_studies())
def test_the_header_says_question_command_runtime_and_expectation(name):
    text = importlib.import_module(f"studies.{name}").__doc__
    assert text.splitlines()[0].endswith("?") or "?" in text.split("\n\n")[0]
    for word in ("Command:", "Runtime:", "Expected:", "Source:"):
        assert word in text


@pytest.mark.parametrize("name", study.list_studies())
def test_every_study_runs_fast(run, name):
    arguments = ["--dataset", DATASET[name]] if name in DATASET else []
    result, folder = run(name, "--fast", *arguments)
    assert result["numbers"]
    assert all(entry["verdict"] in (None, "met") for entry in result["numbers"].values()), result["numbers"]
    assert result["answers"]
    assert (folder / "index.html").exists()
    assert list(folder.glob("*.png"))


def test_learning_rates_agrees_with_an_independent_descent(run, tmp_path):
    """A descent written here, with neither Keras nor zoo.reference."""
    random = np.random.default_rng(5)
    t = np.arange(60) % 2
    x = random.normal(size=(60, 2)) + np.array([1.0, 2.0]) + 1.2 * t[:, None]
    file = tmp_path / "points.txt"
    file.write_text("".join(f"{a!r} {b!r} 1 {c}\n" for (a, b), c in zip(x.tolist(), t.tolist(), strict=True)))
    result, _ = run("learning_rates", "--fast", "--data", str(file))
    inputs = np.column_stack([x, np.ones(60)])

    def loss(w):
        z = inputs @ w
        return np.mean(np.logaddexp(0, z) - t * z)

    for rate in (0.5, 0.3, 0.1, 0.05, 0.01):
        w = np.array([0.1, 0.0, 0.0])
        losses = [loss(w)]
        for _ in range(30):
            w = w - rate * inputs.T @ (1 / (1 + np.exp(-inputs @ w)) - t) / 60
            losses.append(loss(w))
            if abs(losses[-1] - losses[-2]) < 1e-5:
                break
        got = {
            k: result["numbers"][f"rate_{rate}_{k}"]["measured"]
            for k in ("last_epoch", "final_nll", "rises", "largest_nll", "final_slope", "final_intercept")
        }
        expected = {
            "last_epoch": len(losses) - 1,
            "final_nll": losses[-1],
            "rises": int((np.diff(losses) > 0).sum()),
            "largest_nll": max(losses),
            "final_slope": -w[0] / w[1],
            "final_intercept": -w[2] / w[1],
        }
        assert got == pytest.approx(expected, abs=1e-5, rel=1e-5)


@pytest.mark.parametrize("line", ["1 2 3", "1 2 1 5", "a b 1 0", "1 2 2 0", "nan 1 1 0"])
def test_learning_rates_names_the_bad_line(tmp_path, capsys, line):
    file = Path(tmp_path) / "points.txt"
    file.write_text(f"0 0 1 0\n{line}\n1 1 1 1\n")
    assert study.main(["run", "learning_rates", "--data", str(file), "--output", str(tmp_path / "out")]) == 1
    err = capsys.readouterr().err
    assert f"{file}, line 2" in err
    assert not (tmp_path / "out").exists()
