from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import tune
from scipy import stats
from search_records import header, record, run, written

import tuning
import zoo
from tuning.results import SearchResult
from zoo.errors import UsageError


def trial(number, scores, values, *, repeats=3):
    """A trial with one run a score: fold by fold, each with so many repeats."""
    runs = [run(s, fold=i // repeats, repeat=i % repeats) for i, s in enumerate(scores)]
    return record(number, float(np.mean(scores)), values, runs=runs)


GRID = [("adam", 0.0), ("adam", 0.1), ("sgd", 0.0), ("sgd", 0.1)]
SCORES = [[0.90, 0.92, 0.91], [0.88, 0.91, 0.90], [0.80, 0.84, 0.81], [0.79, 0.81, 0.83]]


def grid(directory, leave_out=()):
    records = [
        trial(n, scores, {"optimizer": o, "l2": l2, "units": "json:[8, 4]"})
        for n, ((o, l2), scores) in enumerate(zip(GRID, SCORES, strict=True))
        if n not in leave_out
    ]
    return written(directory, records, repeats=3)


def test_trials_are_compared_over_their_repeats(tmp_path):
    result = grid(tmp_path)
    found = result.compare()
    assert list(found.groups["group"]) == [
        f"trial {n + 1} (l2={l2:g}, optimizer={o})" for n, (o, l2) in enumerate(GRID)
    ]
    assert found.groups["mean"].iloc[0] == pytest.approx(result.best_score)
    assert found.groups["n"].tolist() == [3] * 4
    assert found.groups["p"].iloc[2] == pytest.approx(stats.ttest_rel(SCORES[2], SCORES[0]).pvalue)
    assert (found.score, found.direction, found.folds) == ("val_accuracy", "max", 1)


def test_values_are_compared_over_the_means_of_the_others(tmp_path):
    found = grid(tmp_path).compare(by="optimizer")
    adam, sgd = np.mean(SCORES[:2], axis=0), np.mean(SCORES[2:], axis=0)
    assert list(found.groups["group"]) == ["adam", "sgd"]
    np.testing.assert_allclose(found.scores, np.stack([adam, sgd], axis=1))
    assert found.pairs["p"][0] == pytest.approx(stats.ttest_rel(adam, sgd).pvalue)
    both = grid(tmp_path / "both").compare(by=["optimizer", "l2"])
    assert both.best == "optimizer=adam, l2=0.0"


def test_what_was_not_tried_with_every_value_is_left_out(tmp_path):
    found = grid(tmp_path, leave_out=[3]).compare(by="optimizer")
    np.testing.assert_allclose(found.scores["adam"], SCORES[0])
    assert "1 trial was left out, because their other values were not tried with every optimizer." in found.sentences()


def test_values_that_share_no_others_are_not_compared(tmp_path):
    result = grid(tmp_path, leave_out=[1, 2])
    with pytest.raises(UsageError, match=r"method='grid'. Received: by=optimizer"):
        result.compare(by="optimizer")


def test_the_repeats_of_a_fold_are_one_score(tmp_path):
    rng = np.random.default_rng(0)
    scores = rng.normal(0.8, 0.05, (2, 12))  # 4 folds of 3 repeats
    result = written(tmp_path, [trial(n, s.tolist(), {"l2": n}) for n, s in enumerate(scores)], folds=4, repeats=3)
    found = result.compare()
    assert found.groups["n"].tolist() == [4, 4]
    difference = scores.reshape(2, 4, 3).mean(axis=2)
    difference = difference[0] - difference[1]
    t = difference.mean() / np.sqrt((1 / 4 + 1 / 3) * difference.var(ddof=1))
    assert found.pairs["p"][0] == pytest.approx(2 * stats.t.sf(abs(t), 3))


def test_failed_trials_are_no_groups(tmp_path):
    records = [trial(n, s, {"l2": n}) for n, s in enumerate(SCORES)]
    records[1] |= {"status": "failed", "score": None, "reason": "RuntimeError: as asked"}
    found = written(tmp_path, records, repeats=3).compare()
    assert len(found.groups) == 3
    assert not any("trial 2 " in label for label in found.groups["group"])


def test_equal_trials_go_by_their_numbers(tmp_path):
    result = written(tmp_path, [trial(n, [0.5, 0.6, 0.7], {"l2": n}) for n in range(12)], repeats=3)
    assert result.compare().best == "trial 1 (l2=0)"
    assert list(result.compare().groups["group"])[1] == "trial 2 (l2=1)"


def test_trials_of_the_same_values_at_several_rungs(tmp_path):
    stages = [{"l2": 0.0, "tuner/bracket": 0, "tuner/round": i, "tuner/epochs": 3**i} for i in range(2)]
    result = written(tmp_path, [trial(n, SCORES[n], values) for n, values in enumerate(stages)], repeats=3)
    assert set(result.compare().groups["group"]) == {"trial 1 (rung=1)", "trial 2 (rung=3)"}


def test_long_labels_are_cut_and_stay_different(tmp_path):
    values = [{f"a_long_name_{i}": n + i for i in range(8)} for n in range(3)]
    result = written(tmp_path, [trial(n, SCORES[n], v) for n, v in enumerate(values)], repeats=3)
    labels = result.compare().groups["group"]
    assert labels.str.len().max() == 60
    assert labels.nunique() == 3


def test_one_run_a_trial_is_refused(tmp_path):
    result = written(tmp_path, [record(0, 0.5), record(1, 0.6)])
    with pytest.raises(UsageError, match=r"search with repeats= or folds= of 2 or more. Received: folds=1, repeats=1"):
        result.compare()


def test_what_cannot_be_compared(tmp_path):
    result = grid(tmp_path)
    with pytest.raises(UsageError, match="unknown hyper-parameter 'optimiser'; did you mean 'optimizer'"):
        result.compare(by="optimiser")
    with pytest.raises(UsageError, match="Received: none"):
        result.compare(by=[])
    with pytest.raises(UsageError, match=r"two or more groups with scores. Received: \['\(8, 4\)'\]"):
        result.compare(by="units")
    with pytest.raises(UsageError, match=r"two or more groups"):
        SearchResult(tmp_path, header(repeats=3), {}).compare()


def test_a_search_with_repeats(tmp_path):
    data = zoo.load_dataset("digits", limit=200, validation=0.3)
    values = {"optimizer": ["adam", "sgd"], "learning_rate": [0.001, 0.03]}
    result = tuning.search(
        "softmax",
        data,
        method="grid",
        values=values,
        recipe=zoo.Recipe(epochs=2),
        repeats=3,
        directory=tmp_path / "search",
        verbose=False,
    )
    found = result.compare()
    assert found.groups["mean"].iloc[0] == pytest.approx(result.best_score)
    assert found.best.startswith(f"trial {result.best_trial['number'] + 1} ")
    assert found.sentences()[0].startswith(f"{found.best} has the best mean val_accuracy, ")
    by = result.compare(by="optimizer")
    table = result.runs.merge(result.table[["trial", "optimizer"]], on="trial")
    expected = table.groupby(["optimizer", "repeat"])["score"].mean().unstack("optimizer")
    np.testing.assert_allclose(by.scores[["adam", "sgd"]], expected[["adam", "sgd"]])
    assert isinstance(by.pairs, pd.DataFrame)
    page = zoo.write_report(tmp_path / "report.html", search=result).read_text()
    assert '<section id="comparison"' in page


@pytest.mark.parametrize("repeats", [1, 3])
def test_the_command_says_what_several_runs_show(tmp_path, capsys, repeats):
    arguments = ["--model", "softmax", "--dataset", "digits", "--limit", "200", "--epochs", "1", "--method", "grid"]
    arguments += ["--values", "learning_rate=0.0001,0.03", "--repeats", str(repeats), "--directory", str(tmp_path)]
    assert tune.main(arguments) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert ("score it on other data" in out) == (repeats > 1)
    assert ("has the best mean val_accuracy" in out) == (repeats > 1)
