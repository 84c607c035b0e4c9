"""The studies `search_methods` and `feature_caching`, against referees that share no code with them."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from studies.options import StudyOptions

import zoo
from tuning.regret import regret_at
from tuning.replay import load_recorded
from zoo import reference
from zoo.reporting.study import StudyReport


def study(name):
    return importlib.import_module(f"studies.{name}")


@pytest.fixture
def report():
    return StudyReport("search", "?", "study.py", {}, 0)


@pytest.fixture(scope="module")
def points():
    return study("descent_on_strength").with_wrong_labels(study("descent_on_strength").load_points()[0], seed=3)


def test_strength_minimum_is_that_of_scikit_learn(points):
    x, y = points
    strength = 0.01
    model = LogisticRegression(C=1 / (2 * strength * len(y)), fit_intercept=False, tol=1e-8, max_iter=2000).fit(x, y)
    least, kernel = study("descent_on_strength").fit(points, strength)
    loss = -np.log(softmax(x @ model.coef_.T, axis=1)[np.arange(len(y)), y]).mean() + strength * (model.coef_**2).sum()
    assert least == pytest.approx(loss, rel=1e-6)
    np.testing.assert_allclose(kernel.T, model.coef_, atol=1e-3)


def test_strength_descends_by_the_squared_norm(points):
    path = study("descent_on_strength").follow_strength(points, 0.1, steps=3)
    x, y = points
    first = 0.5 * x.T @ (reference.one_hot(y, 10) - 0.1) / len(y)  # from zero weights, where all classes have 1/10
    assert path[:3] == pytest.approx([0.1, 0.1, 0.1 - 3e-4 * (first**2).sum()])
    assert path[3] < path[2]


def test_rates_are_separate_descents(points):
    x, y = points
    rates = np.array([0.1, 2.0])
    found = study("descent_on_rate").follow_rates(points, rates, (1, 4), seed=5, batch_size=30)
    batches = [batch for epoch in (0, 1) for batch in reference.mini_batches([x, y], 30, seed=5, epoch=epoch)]
    batches = [batch for batch in batches if len(batch[1]) == 30][:4]
    for place, rate in enumerate(rates):
        w = np.zeros((x.shape[1], 10))
        for inputs, labels in batches:
            w -= rate * inputs.T @ (softmax(inputs @ w, axis=1) - np.eye(10)[labels]) / 30
        np.testing.assert_allclose(found[4][place], w, atol=1e-12)


def test_rate_by_descent_is_the_least_of_a_fine_grid(points):
    rate = study("descent_on_rate")
    grid = np.geomspace(0.05, 20, 600)
    kernels = rate.follow_rates(points, grid, (1,), seed=1)[1]
    best = grid[np.argmin([rate.loss(kernel, points) for kernel in kernels])]
    assert rate.descend_on_rate(points, seed=1) == pytest.approx(best, rel=0.05)


def test_methods_without_their_package_are_not_run(report, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert "bayesian" not in study("search_methods").installed(report)
    assert report.findings["bayesian"].verdict == "not run"
    assert "optuna" in report.findings["bayesian"].why


def test_a_method_beats_another_only_beyond_chance():
    rows = [(m, s, r + 0.01 * (s * k % 5)) for s in range(10) for m, r, k in (("a", 0.1, 7), ("b", 0.3, 4))]
    rows += [("c", s, 0.11 + 0.01 * ((s * 3) % 5)) for s in range(10)]
    table = pd.DataFrame(rows, columns=["method", "seed", "regret"])
    found = zoo.compare(table, groups="method", units="seed", score="regret", direction="min")
    beats = study("search_methods").beats
    assert beats(found, "a", "b")
    assert not beats(found, "b", "a")
    assert not beats(found, "a", "c")


def test_few_seeds_have_lines_and_no_bands():
    searches, grid = study("search_methods"), load_recorded()
    trials = [searches.replayed("random", grid, 0.02, seed) for seed in range(12)]
    panels = [("title", grid, {"random": trials[:count]}, 0.02) for count in (3, 12)]
    few, many = searches.draw(panels).axes
    assert not any(len(band.get_paths()) for band in few.collections)
    assert any(len(band.get_paths()) for band in many.collections)
    costs = few.get_lines()[0].get_xdata()
    by_hand = np.mean([regret_at(table, costs) for table in trials[:3]], axis=0)
    np.testing.assert_allclose(few.get_lines()[0].get_ydata(), by_hand)


def test_features_of_a_backbone_without_weights_are_said_to_be_random(report, monkeypatch):
    def build(*args, weights, **options):
        if weights is not None:
            raise zoo.WeightsError("not on this machine")
        return "a model"

    monkeypatch.setattr(zoo, "build", build)
    data = zoo.load_dataset("digits", limit=50)
    assert study("feature_caching").build(StudyOptions(), report, data) == ("a model", "resnet20, random weights")
    assert "not on this machine" in report.findings["pretrained"].why
    with pytest.raises(zoo.WeightsError):
        study("feature_caching").build(StudyOptions(weights=Path("absent.th")), report, data)


def test_feature_seconds_by_hand(report):
    caching = study("feature_caching")
    of_way = dict(zip(caching.WAYS, ([5, 0.1, 0.1], [1, 0.1, 0.1], [3, 2, 2], [4, 4, 4]), strict=True))
    tables = {
        way: [pd.DataFrame({"since_start": np.cumsum(s), "of_epoch": s, "epoch": [1, 2, 3]})] * 2
        for way, s in of_way.items()
    }
    caching.report_seconds(report, tables)
    found = {key: finding.measured for key, finding in report.findings.items()}
    assert found["ratio"] == pytest.approx(20)
    assert found["keras_ratio"] == pytest.approx(40)
    assert found["total_ratio"] == pytest.approx(7 / 5.2)
    assert found["caching_in_epochs"] == pytest.approx(4 / 2)
    assert found["ahead_from"] == 3  # 5.1 against 5 after two epochs
