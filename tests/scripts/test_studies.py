"""The runner; the studies of linear models and of depth run with --fast, the others in `test_studies_networks.py`."""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest
import study
from PIL import Image

from zoo.errors import UsageError


@pytest.fixture
def run(tmp_path):
    def call(name, *arguments):
        assert study.main(["run", name, "--output", str(tmp_path), *arguments]) == 0
        (folder,) = tmp_path.glob(f"{name}*")
        return json.loads((folder / "result.json").read_text()), folder

    return call


def test_list_names_every_study_in_the_order_of_the_course(capsys):
    assert study.main(["list"]) == 0
    shown = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert shown == list(study.STUDIES)


def test_every_file_with_a_question_is_in_the_table():
    files = Path(study.__file__).with_name("studies").glob("*.py")
    with_question = {f.stem for f in files if "\nCommand:" in f.read_text(encoding="utf-8")}
    assert with_question == set(study.STUDIES)


@pytest.mark.parametrize("name", study.STUDIES)
def test_the_header_says_question_command_runtime_and_expectation(name):
    text = importlib.import_module(f"studies.{name}").__doc__
    assert text.splitlines()[0].endswith("?")
    assert f"python scripts/study.py run {name}" in text
    for word in ("Command:", "Runtime:", "Expected:", "Source:"):
        assert f"\n{word}" in text


NETWORKS = study.STUDIES[study.STUDIES.index("cnn_grid_search") :]  # two files, so that two workers share the time


def check_fast(name, output):
    assert study.main(["run", name, "--fast", "--output", str(output)]) == 0
    folder = output / f"{name}-cut"
    result = json.loads((folder / "result.json").read_text())
    assert result["numbers"]
    assert all(entry["verdict"] in (None, "met", "not run") for entry in result["numbers"].values()), result["numbers"]
    assert any(entry["measured"] is not None for entry in result["numbers"].values())
    assert result["settings"]
    assert result["answers"]
    assert (folder / "index.html").exists()
    assert list(folder.glob("*.png"))
    assert (result["full"], result["seconds"] > 0) == (False, True)


@pytest.mark.parametrize("name", [name for name in study.STUDIES if name not in NETWORKS])
def test_every_study_before_the_networks_runs_fast(name, tmp_path):
    check_fast(name, tmp_path)


QUICK = ("momentum", "universal_approximation")


def test_all_continues_after_what_is_done_and_after_a_failure(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(study, "STUDIES", QUICK)
    command = ["run", "--all", "--fast", "--output", str(tmp_path)]

    def broken(options, report):
        raise ValueError("no such thing here")  # whatever it is, the others run

    momentum = importlib.import_module("studies.momentum")
    with monkeypatch.context() as patch:
        patch.setattr(momentum, "run", broken)
        assert study.main(command) == 1
    err = capsys.readouterr().err
    assert "failed: ValueError: no such thing here" in err
    assert "1 of 2 failed: momentum" in err
    second = (tmp_path / f"{QUICK[1]}-cut" / "result.json").stat().st_mtime_ns
    assert study.main(command) == 0
    out = capsys.readouterr().out
    assert out.count("done already") == 1
    assert (tmp_path / f"{QUICK[1]}-cut" / "result.json").stat().st_mtime_ns == second
    assert (tmp_path / f"{QUICK[0]}-cut" / "index.html").exists()
    assert study.main([*command, "--seed", "1"]) == 0  # another command is another result
    assert "done already" not in capsys.readouterr().out
    result = tmp_path / f"{QUICK[0]}-cut" / "result.json"
    result.write_text(result.read_text().replace(json.loads(result.read_text())["source"], "0" * 64))
    assert study.main([*command, "--seed", "1"]) == 0  # and so is other code
    assert capsys.readouterr().out.count("done already") == 1


def test_the_index_and_the_document_hold_what_was_measured(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(study, "STUDIES", QUICK)
    output, to = tmp_path / "out", tmp_path / "docs" / "studies.md"
    assert study.main(["document", "--output", str(output), "--to", str(to)]) == 2
    assert "no full result" in capsys.readouterr().err
    assert study.main(["run", "momentum", "--output", str(output)]) == 0  # takes no cut, and a second
    assert study.main(["document", "--output", str(output), "--to", str(to)]) == 0
    text = to.read_text(encoding="utf-8")
    measured = json.loads((output / "momentum" / "result.json").read_text())["numbers"]["x_after_100_at_0.9"][
        "measured"
    ]
    assert f"| 0.0037 ± 5e-05 | {measured:.6g} | met |" in text
    assert (
        "| universal\\_approximation | not run here |" in text or "| universal_approximation | not run here |" in text
    )
    with Image.open(to.with_suffix("") / "momentum.png") as picture:
        assert picture.width <= 900
    page = (output / "index.html").read_text(encoding="utf-8")
    assert 'href="momentum/index.html"' in page
    assert "1 of 2 studies have been run" in page
    assert "earlier version" not in text
    monkeypatch.setattr(study, "_source", lambda name: "0" * 64)  # as after a change of its file
    assert study.main(["document", "--output", str(output), "--to", str(to)]) == 0
    text = to.read_text(encoding="utf-8")
    assert "| [momentum](#momentum) ¹ | " in text
    assert text.count("easured with an earlier version of the study.") == 2  # below the table, and at the study


def test_a_cut_does_not_replace_a_full_result(tmp_path, monkeypatch):
    monkeypatch.setattr(study, "STUDIES", QUICK)
    assert study.main(["run", "momentum", "--output", str(tmp_path)]) == 0
    full = (tmp_path / "momentum" / "result.json").read_bytes()
    assert study.main(["run", "momentum", "momentum", "--fast", "--output", str(tmp_path)]) == 0
    assert (tmp_path / "momentum" / "result.json").read_bytes() == full
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert 'href="momentum/index.html"' in page
    assert "a cut" not in page


def test_the_hash_of_a_study_covers_what_it_imports_beside_it(tmp_path, monkeypatch):
    for file in Path(study.__file__).with_name("studies").glob("*.py"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    monkeypatch.setattr(study, "_FOLDER", tmp_path)
    users = {"tuned_cnn": "optimizers", "points": "learning_rates", "five_classes": "fine_tuning"}
    for module, name in users.items():
        before, other = study._source(name), study._source("momentum")
        with (tmp_path / f"{module}.py").open("a") as file:
            file.write("# changed\n")
        assert study._source(name) != before
        assert study._source("momentum") == other


def test_an_output_that_cannot_be_written_is_said_before_the_study_runs(tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    assert study.main(["run", "momentum", "--output", str(tmp_path / "file" / "out")]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_the_committed_document_has_every_study_as_it_asks_now():
    docs = Path(study.__file__).parents[1] / "docs"
    text = (docs / "studies.md").read_text(encoding="utf-8")
    for name in study.STUDIES:
        assert f"\n## {name}\n\n{study.question(name)}\n" in text
        assert f"](studies/{name}.png)" in text
        assert (docs / "studies" / f"{name}.png").is_file()
    assert "not run here" not in text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "name a study, or --all"),
        (["nothing"], "unknown study"),
        (["momentum", "--all"], "leave out momentum"),
        (["momentum", "--dataset", "digits"], "momentum takes no --dataset"),
        (["momentum", "--weights", "x.npy"], "momentum takes no --weights"),
        (["momentum", "--set", "a=1"], "momentum takes no --set"),
        (["weight_decay", "--set", "a"], "--set"),
        (["momentum", "--seed", "-1"], "seed must be a whole number of at least 0"),
        (["--all", "--dataset", "digits"], "leave out --dataset"),
        (["learning_rates", "--data", "nowhere.txt"], "no such file"),
    ],
)
def test_wrong_requests_get_one_line(tmp_path, capsys, arguments, said):
    assert study.main(["run", *arguments, "--output", str(tmp_path / "out")]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_debug_is_an_option_of_an_action_too(tmp_path):
    with pytest.raises(UsageError, match="unknown study 'nothing'"):
        study.main(["run", "nothing", "--debug"])
    with pytest.raises(UsageError, match="no full result"):
        study.main(["document", "--output", str(tmp_path / "out"), "--to", str(tmp_path / "to.md"), "--debug"])


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
