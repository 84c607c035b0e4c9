from __future__ import annotations

import dataclasses
import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from search_records import header, record, run, written

from tuning import parameter_plots, plots
from tuning.dimensions import Dimension, best_trials, dimensions, positions
from tuning.importance import permutation_importance
from tuning.results import SearchResult
from zoo.drawing import BEST
from zoo.errors import ZooError

MIXED = {
    "learning_rate": {"type": "Float", "min_value": 1e-4, "max_value": 1.0, "sampling": "log", "conditions": []},
    "optimizer": {"type": "Choice", "values": ["sgd", "adam", "adagrad"], "conditions": []},
    "momentum": {"type": "Float", "min_value": 0.0, "max_value": 0.9, "sampling": "linear", "conditions": []},
    "layers": {"type": "Int", "min_value": 1, "max_value": 3, "step": 1, "sampling": "linear", "conditions": []},
    "units": {"type": "Choice", "values": ["json:[8, 4]", "json:[4]", "json:null"], "conditions": []},
    "fixed": {"type": "Fixed", "value": 3, "conditions": []},
}


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def mixed_values(rng):
    values = {
        "learning_rate": float(10 ** rng.uniform(-4, 0)),
        "optimizer": str(rng.choice(["sgd", "adam", "adagrad"])),
        "layers": int(rng.integers(1, 4)),
        "units": str(rng.choice(["json:[8, 4]", "json:[4]", "json:null"])),
        "fixed": 3,
    }
    return values | ({"momentum": float(rng.uniform(0, 0.9))} if values["optimizer"] == "sgd" else {})


def mixed(directory, count=30, **changes):
    """A search in which the learning rate decides; every seventh trial failed."""
    rng, records = np.random.default_rng(0), []
    for number in range(count):
        values = mixed_values(rng)
        score = 0.9 - 0.1 * abs(math.log10(values["learning_rate"]) + 2) + rng.normal(0, 0.005)
        records.append(record(number, None if number % 7 == 6 else float(score), values))
    return written(directory, records, space=MIXED, **changes)


@pytest.fixture
def promoted(tmp_path):
    """Three trials in a rung of two epochs, of which the last goes on to five."""
    first = [record(n, 0.4 + n / 10, {"l2": 0.1 * n, "tuner/epochs": 2}) for n in range(3)]
    values = {"l2": 0.2, "tuner/epochs": 5, "tuner/trial_id": "0002"}
    return written(tmp_path, [*first, record(3, 0.9, values, runs=[run(0.9, first_epoch=2, epochs=3)], parent=2)])


def lines(axes, colour):
    return [line for line in axes.get_lines() if line.get_color() == colour and len(line.get_xdata())]


def test_every_picture_is_written(tmp_path):
    paths = mixed(tmp_path / "search").plots(tmp_path / "plots")
    assert [path.stem for path in paths] == list(plots.PLOTS)
    assert all(path.stat().st_size > 5000 for path in paths)
    assert sorted(tmp_path.glob("plots/*")) == sorted(paths)


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_the_plot(tmp_path, suffix):
    path = mixed(tmp_path / "search", 5).plot(tmp_path / f"search{suffix}")
    assert path.stat().st_size > 5000


def test_what_a_search_has_nothing_for_is_left_out(tmp_path):
    few = written(tmp_path / "few", [record(n, 0.5 + n, {"l2": 0.1 * n}, runs=[]) for n in range(3)])
    assert [p.stem for p in few.plots(tmp_path)] == ["best_so_far", "parallel_coordinates", "objective_against"]
    failed = written(tmp_path / "failed", [record(0, None)])
    assert failed.plots(tmp_path / "none") == []
    for draw in plots.PLOTS.values():
        with pytest.raises(ZooError, match=r"all 1 trials failed|needs at least 8"):
            draw(failed)
    with pytest.raises(ZooError, match="all have the same values"):
        parameter_plots.parallel_coordinates(written(tmp_path / "same", [record(n, 0.5 + n) for n in range(3)]))


def test_best_so_far_takes_trials_as_they_ended(tmp_path):
    ended, scores = [3.0, 1.0, 2.0, 2.5], [0.5, 0.6, None, 0.7]
    records = [record(n, s, ended=e) for n, (s, e) in enumerate(zip(scores, ended, strict=True))]
    result = written(tmp_path, records)
    axes = plots.best_so_far(result, against="seconds").axes[0]
    best = lines(axes, BEST)[0]
    assert list(best.get_xdata()) == [1.0, 2.5, 3.0]
    assert list(best.get_ydata()) == [0.6, 0.7, 0.7]
    assert axes.get_xlabel() == "seconds of wall time"


def test_parallel_coordinates_draw_completed_trials_with_the_best_on_top(tmp_path):
    result = mixed(tmp_path)
    axes = parameter_plots.parallel_coordinates(result).axes[0]
    drawn = [line for line in axes.get_lines() if len(line.get_xdata()) == 6]  # learning rate ... units, objective
    assert len(drawn) == (result.table["status"] == "completed").sum() + 1
    (best,) = lines(axes, BEST)
    assert best.get_zorder() == max(line.get_zorder() for line in axes.get_lines())
    assert best.get_ydata()[-1] == 1.0
    texts = [text.get_text() for text in axes.texts]
    assert {"0.0001", "0.01", "1", "adam", "8-4", "None", "inactive", "momentum", "val_accuracy"} <= set(texts)
    assert "fixed" not in texts


def test_objective_against_has_a_panel_a_parameter_on_its_scale(tmp_path):
    figure = parameter_plots.objective_against(mixed(tmp_path))
    shown = {axes.get_xlabel(): axes for axes in figure.axes if axes.axison}
    assert list(shown) == ["learning_rate", "optimizer", "momentum", "layers", "units"]
    ticks = [tick.get_text() for tick in shown["learning_rate"].get_xticklabels()]
    assert ticks == ["0.0001", "0.001", "0.01", "0.1", "1"]
    assert np.ptp(np.diff(shown["learning_rate"].get_xticks())) < 1e-9
    assert [tick.get_text() for tick in shown["optimizer"].get_xticklabels()] == ["sgd", "adam", "adagrad"]
    points = [sum(len(c.get_offsets()) for c in axes.collections) for axes in shown.values()]
    assert points[0] == 26
    assert 0 < points[2] < points[0]  # the momentum was active in some


def test_a_failed_trial_whose_first_run_ended_has_a_curve_and_no_score(tmp_path):
    records = [record(n, 0.5 + n / 10, {"l2": 0.1 * n}) for n in range(3)]
    failed = record(3, None, {"l2": 0.4}, runs=[run(0.9)])  # of its repeats the first one was completed
    figure = plots.learning_curves(written(tmp_path, [*records, failed]))
    assert figure.axes[0].get_ylim()[1] < 0.9


def test_figures_of_a_report_are_those_that_are_written(tmp_path):
    result = mixed(tmp_path / "search")
    figures = result.figures()
    assert list(figures) == list(plots.PLOTS) == list(plots.CAPTIONS)
    assert all(caption and figure.axes for caption, figure in figures.values())


def test_pictures_are_the_same_every_time(tmp_path):
    result = mixed(tmp_path / "search")
    for name, draw in plots.PLOTS.items():
        first, second = (plots.save(draw(result), tmp_path / f"{name}-{i}.png").read_bytes() for i in (0, 1))
        assert first == second, name


def test_a_diverged_trial_does_not_flatten_the_others(tmp_path):
    scores = [*np.linspace(0.2, 0.6, 20).tolist(), 1e9]
    records = [record(n, s, {"l2": 0.1 * n}, runs=[run(s, name="val_loss")]) for n, s in enumerate(scores)]
    result = written(tmp_path, records, objective="val_loss", direction="min")
    for draw in (parameter_plots.objective_against, plots.learning_curves, plots.best_so_far):
        assert draw(result).axes[0].get_ylim()[1] < 5


def test_learning_curves_join_a_promoted_trial_to_its_parent(promoted):
    axes = plots.learning_curves(promoted).axes[0]
    parent, child = lines(axes, BEST)
    assert list(parent.get_xdata()) == [1, 2]
    assert list(child.get_xdata()) == [2, 3, 4, 5]
    assert child.get_ydata()[0] == parent.get_ydata()[-1]
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["best, trial 4", "rung at epoch 2", "rung at epoch 5"]


def test_learning_curves_are_means_over_runs(tmp_path):
    runs = [run(0.8, fold=0, epochs=3), run(0.6, fold=1, epochs=3)]
    axes = plots.learning_curves(written(tmp_path, [record(0, 0.7, runs=runs)], folds=2)).axes[0]
    np.testing.assert_allclose(lines(axes, BEST)[0].get_ydata(), [0.5, 0.6, 0.7])


def test_importance_finds_what_decided(tmp_path):
    table = permutation_importance(mixed(tmp_path, 60))
    assert table["parameter"][0] == "learning_rate"
    assert table["importance"][0] > 5 * table["importance"][1:].max()
    assert (table["spread"] >= 0).all()
    assert 0.5 < table.attrs["r2"] <= 1
    assert set(table["parameter"]) == {"learning_rate", "optimizer", "momentum", "layers", "units"}


def test_importance_refuses_few_trials_and_counts_promoted_ones_once(tmp_path, promoted):
    with pytest.raises(ZooError, match=r"at least 8 completed trials.*Received: 3"):
        permutation_importance(promoted)
    with pytest.raises(ZooError, match="Received: 7"):
        permutation_importance(mixed(tmp_path / "seven", 8))
    same = written(tmp_path / "same", [record(n, 0.5, {"l2": 0.1 * n}) for n in range(9)])
    with pytest.raises(ZooError, match="the same score"):
        permutation_importance(same)


def test_importance_compares_within_a_rung(tmp_path):
    """Longer trials score better here, and their names differ: that is not the name's doing."""
    records = []
    for n in range(40):
        epochs = 1 if n < 20 else 9
        values = {"l2": 0.01 * (n * 7 % 20), "name": "short" if n < 20 else "long", "tuner/epochs": epochs}
        records.append(record(n, values["l2"] + epochs, values))
    table = permutation_importance(written(tmp_path, records)).set_index("parameter")["importance"]
    assert table["l2"] > 10 * abs(table["name"])


scales = st.tuples(st.floats(1e-6, 1e3), st.floats(1.01, 1e6), st.sampled_from(["linear", "log"]))


@given(scales, st.lists(st.floats(0, 1), min_size=2, max_size=5))
def test_positions_keep_the_order_of_a_range(scale, shares):
    low, factor, kind = scale
    dimension = Dimension("x", kind, low, low * factor)
    values = [low + share * (low * factor - low) for share in sorted(shares)]
    at = [dimension.position(value) for value in values]
    assert all(-1e-9 <= p <= 1 + 1e-9 for p in at)
    assert at == sorted(at)
    assert all(-1e-6 <= p <= 1 + 1e-6 for p, _ in dimension.ticks())
    assert math.isnan(dimension.position(None))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from([None, True, False, 0, 1, 1.5, "1", "sgd"]), min_size=1, max_size=6))
def test_every_choice_has_a_column_of_its_own(values):
    records = {n: record(n, 0.5, {"x": v}) for n, v in enumerate(values)} | {99: record(99, 0.5, {})}
    result = SearchResult(None, header(space={"x": {"type": "Choice", "values": []}}), records)
    (dimension,) = dimensions(result)
    at = positions(dimension, [records[n] for n in sorted(records)])
    assert np.isnan(at[-1])
    assert len(set(at[:-1])) == len({repr(v) for v in values})
    assert len(dimension.ticks()) == len(set(at[:-1]))


@pytest.mark.parametrize("direction", ["max", "min"])
def test_of_many_trials_the_best_have_a_line_and_the_best_ones_ancestors(tmp_path, direction):
    scores = np.random.default_rng(0).permutation(1200) / 1200
    best = int(scores.argmax() if direction == "max" else scores.argmin())
    worst = int(scores.argmin() if direction == "max" else scores.argmax())
    values = [{"l2": 0.001 * (n % 7), "learning_rate": 0.1} for n in range(1200)]
    result = written(tmp_path, [record(0, 0.5)], direction=direction)
    result = dataclasses.replace(result, trials={n: record(n, s, values[n]) for n, s in enumerate(scores.tolist())})
    result.trials[best]["parent"] = worst
    order = np.argsort(-scores if direction == "max" else scores)
    assert [one["number"] for one in best_trials(result)] == sorted([*order[:1000].tolist(), worst])
    lines = [line.get_gid() for line in parameter_plots.parallel_coordinates(result).axes[0].lines]
    assert len([gid for gid in lines if gid and not gid.endswith("-best")]) == 1001
    result.fine_tuned[worst] = {**record(worst, 2.0 if direction == "max" else -1.0), "kind": "fine_tuned"}
    assert result.trials[worst] in best_trials(dataclasses.replace(result))
