"""The scripts as a user runs them: the whole road on digits, bad input, exit codes."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from script_modules import SCRIPTS, load

COMMANDS = ("train", "tune", "evaluate", "predict", "export", "report", "study")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """One run folder, made by the script in a process of its own."""
    folder = tmp_path_factory.mktemp("run") / "softmax"
    command = [sys.executable, SCRIPTS / "train.py", "--model", "softmax", "--dataset", "digits", "--epochs", "3"]
    done = subprocess.run(
        [*command, "--learning-rate", "0.01", "--output", folder], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "test accuracy 0." in done.stdout
    assert "Traceback" not in done.stderr
    assert "oneDNN" not in done.stderr
    return folder


@pytest.mark.parametrize("name", COMMANDS)
def test_help_needs_no_tensorflow(name):
    program = f"import sys; sys.argv = ['{name}.py', '--help']; sys.path.insert(0, {str(SCRIPTS)!r})\nimport runpy\ntry: runpy.run_path({str(SCRIPTS / name)!r} + '.py', run_name='__main__')\nexcept SystemExit as stop: assert not stop.code\nassert 'tensorflow' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "usage:" in done.stdout


def test_train_writes_a_run_folder_with_report_and_predictions(trained):
    assert {"config.json", "model.keras", "history.csv", "curves.png", "report.html", "predictions.csv"} <= {
        f.name for f in trained.iterdir()
    }
    assert len(pd.read_csv(trained / "predictions.csv")) == 355
    assert json.loads((trained / "config.json").read_text())["data"]["name"] == "digits"


def test_evaluate_and_report_repeat_from_the_folder(call, trained, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    expected = pd.read_csv(trained / "predictions.csv")
    code, out, _ = call("evaluate", folder, "--robustness")
    assert code == 0
    assert f"test accuracy {expected['correct'].mean():.4f}" in out
    assert "noise: accuracy 0." in out
    assert '<section id="robustness"' in (folder / "report.html").read_text()
    assert '<section id="robustness"' not in (trained / "report.html").read_text()
    code, out, err = call("report", folder, "--output", tmp_path / "page.html")
    assert (code, err) == (0, "")
    assert '<section id="robustness"' in (tmp_path / "page.html").read_text()
    assert (tmp_path / "plots" / "calibration.png").exists()


def test_a_report_of_two_runs_and_of_a_run_without_its_data(call, trained, tmp_path):
    other = tmp_path / "a  b\x1b[31m"  # reaches a terminal as text
    shutil.copytree(trained, other)
    config = json.loads((other / "config.json").read_text())
    config["data"]["name"] = "/nowhere"
    (other / "config.json").write_text(json.dumps(config))
    code, out, err = call("report", other)
    assert (code, out) == (0, f"report {tmp_path}/a  b\\x1b[31m/report.html\n")
    assert err.startswith("note: a  b\\x1b[31m is shown without its data: /nowhere")
    page = (other / "report.html").read_text()
    assert "Every test example" in page
    other = other.rename(tmp_path / "other")
    code, out, _ = call("report", trained, other, "--output", tmp_path / "both.html")
    assert (code, out) == (0, f"report {tmp_path / 'both.html'}\n")
    page = (tmp_path / "both.html").read_text()
    assert "data.name" in page
    assert "On the same examples" in page
    assert (tmp_path / "both-plots" / "runs-val-loss.png").exists()


DAMAGED = {
    "no certificate": ("export/certificate.json", "{}", "export again"),
    "half a certificate": ("export/certificate.json", '{"checks"', "certificate.json is damaged"),
    "empty robustness": ("robustness.csv", "", "robustness.csv is damaged"),
    "other robustness": ("robustness.csv", "a,b\n1,2\n", "robustness.csv is damaged"),
    "empty predictions": ("predictions.csv", "", "predictions.csv is damaged"),
    "other predictions": ("predictions.csv", "true,predicted\n1,2\n", "predictions.csv is damaged"),
    "no numbers": ("predictions.csv", "true,predicted,correct,confidence,loss,p(1)\n1,1,?,a,b,c\n", "true or false"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_what_is_damaged_in_a_run_folder_is_one_line(call, trained, tmp_path, case):
    name, content, words = DAMAGED[case]
    folder = tmp_path / "run"
    shutil.copytree(trained, folder, ignore=shutil.ignore_patterns("report.html", "plots"))
    (folder / "export").mkdir(exist_ok=True)
    (folder / name).write_text(content)
    config = json.loads((folder / "config.json").read_text())
    config["data"]["name"] = "/nowhere"
    (folder / "config.json").write_text(json.dumps(config))
    code, out, err = call("report", folder)
    assert (code, out) == (1, "")
    assert words in err.splitlines()[-1]
    assert "Error:" not in err  # no name of an exception, which would be one that nobody thought of
    assert not (folder / "report.html").exists()


@pytest.mark.parametrize("folders", [["nowhere"], ["search", "search2"]])
def test_what_a_report_cannot_be_of(call, tmp_path, folders):
    for name in folders:
        if name != "nowhere":
            (tmp_path / name).mkdir()
            (tmp_path / name / "journal.jsonl").touch()
    code, _, err = call("report", *(tmp_path / name for name in folders))
    assert code == 2
    assert err.count("\n") == 1


def test_a_folder_is_no_page(call, trained, tmp_path):
    code, _, err = call("report", trained, "--output", tmp_path)
    assert (code, err) == (2, f"error: {tmp_path} is a folder; --output takes the file of the page\n")


def test_export_then_predict_agrees_with_the_table(call, trained, tmp_path):
    code, out, _ = call("export", trained)
    assert code == 0
    assert "top-1 agreement 1.0000" in out
    import zoo

    test = zoo.load_dataset("digits").test
    table = pd.read_csv(trained / "predictions.csv", dtype={"predicted": str})
    for i in range(3):
        Image.fromarray(test.inputs[i, ..., 0]).save(tmp_path / f"{i}.png")
    code, out, _ = call("predict", trained, tmp_path, "--top", 1, "--format", "csv")
    assert code == 0
    rows = [line.split(",") for line in out.strip().splitlines()[1:]]
    assert [row[1] for row in rows] == list(table["predicted"][:3])
    np.testing.assert_allclose([float(row[2]) for row in rows], table["confidence"][:3], atol=2e-6)


def test_tune_continues_and_train_takes_its_best(call, tmp_path):
    search = tmp_path / "search"
    arguments = ("--model", "softmax", "--dataset", "digits", "--limit", 200, "--epochs", 1, "--directory", search)
    values = ("--method", "grid", "--values", "l2=0,1e-3", "learning_rate=0.01,0.03")
    code, out, _ = call("tune", *arguments, *values)
    assert code == 0, out
    assert "best of 4 trials" in out
    before = (search / "journal.jsonl").read_bytes()
    assert call("tune", *arguments, *values)[0] == 0
    assert (search / "journal.jsonl").read_bytes() == before  # nothing was trained again
    assert (search / "report.html").exists()
    code, out, _ = call("train", "--from-search", search, "--epochs", 1, "--output", tmp_path / "best")
    assert code == 0, out
    config = json.loads((tmp_path / "best" / "config.json").read_text())
    assert config["data"]["limit"] == 200
    assert config["recipes"][0]["learning_rate"] in (0.01, 0.03)


BAD = {
    "unknown model": (2, "cnn", ("train", "--model", "cnnn")),
    "unknown data set": (2, "digits", ("train", "--dataset", "digit")),
    "unknown option": (2, "dropout", ("train", "--set", "droput=0.3")),
    "option without value": (2, "NAME=VALUE", ("train", "--set", "dropout")),
    "value out of range": (2, "dropout must be", ("train", "--set", "dropout=1.5")),
    "unknown optimizer": (2, "adam", ("train", "--optimizer", "adm")),
    "no such run": (1, "holds no finished run", ("evaluate", "no/such/run")),
    "no such export": (2, "export.py", ("predict", "no/such/export", __file__)),
    "no such image": (2, "x.png: no such file", ("predict", "--model", "resnet20", "x.png")),
    "no such network": (2, "resnet50", ("predict", "--model", "resnet5", __file__)),
    "no published weights": (2, "alexnet", ("predict", "--model", "mlp", __file__)),
    "no such weights": (2, "cifar10", ("predict", "--model", "resnet20", "--weights", "cifar1", __file__)),
    "no such weight file": (
        2,
        "no such weight file",
        ("predict", "--model", "resnet20", "--weights", "./a.th", __file__),
    ),
    "no weight file": (1, "no weight file", ("predict", "--model", "resnet20", "--weights", __file__, __file__)),
    "weights without model": (2, "--weights goes with --model", ("predict", "--weights", "a.th", "b", "c.png")),
    "export without image": (2, "one or more images", ("predict", "runs/a")),
    "unknown study": (2, "weight_decay", ("study", "run", "weight_decy")),
    "no study": (2, "--all", ("study", "run")),
    "unknown method": (2, "random", ("tune", "--method", "randm")),
    "bad range": (2, "--values", ("tune", "--values", "l2=a:b")),
    "folder that is not there": (2, "no such folder", ("train", "--dataset", "./nowhere")),
    "phase without epochs": (2, "e.g. head:5", ("train", "--phase", "head")),
    "phase without layers": (2, "e.g. head:5", ("train", "--phase", ":5")),
    "phase with words": (2, "e.g. head:5", ("train", "--phase", "head:five")),
    "phase of no epochs": (2, "epochs must be", ("train", "--phase", "head:0")),
    "phase with a negative rate": (2, "learning_rate must be", ("train", "--phase", "head:2:-1")),
    "phase of no layer": (2, "matches no layer", ("train", "--model", "softmax", "--phase", "conv*:2")),
    "backbone of another model": (2, "--backbone is of", ("train", "--model", "cnn", "--backbone", "resnet20")),
    "unknown backbone": (2, "resnet20", ("train", "--model", "transfer", "--backbone", "resnet2")),
    "backbone of points": (2, "grey or RGB", ("train", "--model", "transfer", "--dataset", "blobs")),
    "fine-tuning without epochs": (2, "--fine-tune takes", ("tune", "--fine-tune", "all")),
    "fine-tuning of no layer": (
        2,
        "matches no layer",
        ("tune", "--model", "softmax", "--fine-tune", "conv*:2", "--directory", "s"),
    ),
    "no such folder of photographs": (2, "nowhere", ("study", "run", "photographs", "--dataset", "./nowhere")),
    "missing data file": (2, "no such file", ("study", "run", "learning_rates", "--data", "nowhere.txt")),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_an_exit_code(call, case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    expected, words, arguments = BAD[case]
    code, _, err = call(*arguments)
    assert code == expected, err
    lines = [line for line in err.splitlines() if line.startswith("error:")]
    assert len(lines) == 1, err
    assert words in lines[0]
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []  # nothing half-written


def test_debug_shows_the_traceback(tmp_path):
    with pytest.raises(Exception, match="holds no finished run"):
        load("evaluate").main(["--debug", str(tmp_path)])


def test_set_fixes_one_option_and_searches_the_others(call, tmp_path):
    arguments = ("--model", "mlp", "--dataset", "digits", "--limit", 100, "--epochs", 1, "--max-trials", 2)
    code, _, err = call("tune", *arguments, "--set", "dropout=0.3", "--directory", tmp_path / "s")
    assert code == 0, err
    table = pd.read_csv(tmp_path / "s" / "trials.csv")
    assert (table["dropout"] == 0.3).all()
    assert table["learning_rate"].nunique() == 2


def test_options_that_would_be_ignored_are_refused(call, tmp_path):
    assert call("train", "--from-search", tmp_path, "--model", "cnn")[0] == 2
    assert call("train", "--from-search", tmp_path, "--validation", "0.2")[0] == 2
    assert call("train", "--from-search", tmp_path, "--backbone", "resnet20")[0] == 2
    assert call("study", "run", "learning_rates", "--dataset", "mnist", "--output", tmp_path)[0] == 2


def test_a_diverged_training_says_so(call, tmp_path):
    bad = ("--learning-rate", 1e30, "--optimizer", "sgd", "--model", "mlp", "--dataset", "blobs", "--epochs", 2)
    code, _, err = call("train", *bad, "--output", tmp_path / "run")
    assert code == 0
    assert "warning: training diverged" in err
    assert "null" in (tmp_path / "run" / "result.json").read_text()
