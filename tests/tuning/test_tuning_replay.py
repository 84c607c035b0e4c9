from __future__ import annotations

import gzip

import keras_tuner
import numpy as np
import pandas as pd
import pytest

from tuning import oracles
from tuning.oracles.cost import hyperband_cost
from tuning.replay import RecordedGrid, load_recorded, replay
from zoo.errors import UsageError, ZooError

METHODS = sorted(set(oracles.METHODS) - {"gp"})
WHOLE = sorted(set(METHODS) - {"halving", "hyperband"})


@pytest.fixture(scope="module")
def grid():
    return load_recorded()


def small(direction="max", epochs=4):
    rng = np.random.default_rng(0)
    curves = np.sort(rng.random((6, epochs)).round(3), axis=1)
    return RecordedGrid(
        {"a": [1, 2, 3], "b": ["x", "y"]}, "quality", direction, curves, np.ones((6, epochs)), {"what": "noise"}
    )


def test_the_shipped_grid_is_hard_enough(grid):
    assert grid.curves.shape == (270, 27)
    assert np.isfinite(grid.curves).all()
    assert grid.objective == "val_accuracy"
    assert set(grid.about) == {"model", "data", "recipe", "versions"}
    assert (grid.final > grid.best - 0.005).sum() <= 8  # few are near the top,
    assert np.quantile(grid.final, 0.25) < 0.9  # and a quarter is far from it
    assert load_recorded() is grid


def test_a_grid_goes_to_a_file_and_back(tmp_path):
    grid = small()
    grid.curves[2, 2:] = np.nan
    grid.save(tmp_path / "a.json.gz")
    back = RecordedGrid.load(tmp_path / "a.json.gz")
    assert (back.parameters, back.objective, back.direction, back.about) == (
        {"a": [1, 2, 3], "b": ["x", "y"]},
        "quality",
        "max",
        {"what": "noise"},
    )
    np.testing.assert_array_equal(back.curves, grid.curves)
    np.testing.assert_array_equal(back.seconds, grid.seconds)
    grid.save(tmp_path / "b.json.gz")
    assert (tmp_path / "a.json.gz").read_bytes() == (tmp_path / "b.json.gz").read_bytes()


@pytest.mark.parametrize(
    "content",
    [b"", b"no gzip", gzip.compress(b"[1"), gzip.compress(b'{"curves": []}')],
    ids=["empty", "no-gzip", "no-json", "no-grid"],  # compressed bytes hold the time: two workers would differ
)
def test_a_damaged_file_is_refused(tmp_path, content):
    (tmp_path / "a.json.gz").write_bytes(content)
    with pytest.raises(ZooError, match=r"a.json.gz is no recorded grid"):
        RecordedGrid.load(tmp_path / "a.json.gz")


def test_what_is_wrong_is_said(grid):
    with pytest.raises(UsageError, match="did you mean 'digits_mlp'"):
        load_recorded("digit_mlp")
    with pytest.raises(UsageError, match=r"max_epochs must be 1 to 27.*Received: 28"):
        replay("random", grid, max_epochs=28)
    with pytest.raises(UsageError, match=r"budget must be positive. Received: 0"):
        replay("random", grid, budget=0)
    with pytest.raises(UsageError, match="did you mean 'random'"):
        replay("randon", grid)
    with pytest.raises(UsageError, match=r"Received: \(5, 4\)"):
        RecordedGrid({"a": [1, 2, 3], "b": [1, 2]}, "quality", "max", np.zeros((5, 4)), np.zeros((5, 4)), {})
    with pytest.raises(UsageError, match="num_layers"):
        grid.cell({"num_layers": 7})


def test_cells_have_numbers_and_values(grid):
    for cell in (0, 1, 137, 269):
        assert grid.cell(grid.values(cell)) == cell
    assert grid.values(0) == {name: values[0] for name, values in grid.parameters.items()}
    assert grid.values(1)["l2"] == grid.parameters["l2"][1]  # the last one changes fastest


@pytest.mark.parametrize("method", METHODS)
def test_a_replay_keeps_its_budget_and_is_a_function_of_the_seed(grid, method):
    frame = replay(method, grid, budget=0.1, seed=3)
    assert frame.spent.iloc[-1] <= 0.1 * grid.cost
    assert frame.spent.iloc[-1] > 0.1 * grid.cost - 27
    assert (frame.spent == frame.cost.cumsum()).all()
    assert (frame.trial == range(len(frame))).all()
    assert (frame.best == frame.score.cummax()).all()
    assert frame.regret.between(0, 1).all()
    pd.testing.assert_frame_equal(frame, replay(method, grid, budget=0.1, seed=3))
    if method != "grid":
        assert not frame.equals(replay(method, grid, budget=0.1, seed=4))
    for row in frame.itertuples():
        assert row.score == grid.curves[grid.cell(row._asdict()), row.epochs - 1]


@pytest.mark.parametrize("method", WHOLE)
def test_the_regret_of_whole_trials_never_rises(grid, method):
    frame = replay(method, grid, budget=0.2, seed=1)
    assert (frame.cost == 27).all()
    assert (frame.regret.diff().dropna() <= 0).all()
    assert frame.regret.iloc[-1] == pytest.approx(grid.best - frame.best.iloc[-1])


@pytest.mark.parametrize("method", ["random", "genetic", "swarm"])
def test_without_a_budget_the_whole_grid_is_paid_once(grid, method):
    frame = replay(method, grid)
    assert frame.spent.iloc[-1] == grid.cost
    assert frame.regret.iloc[-1] == 0
    assert not frame.duplicated(list(grid.parameters)).any()


def test_promotions_pay_the_difference(grid):
    once = oracles.make_oracle("hyperband", grid.space(), objective="val_accuracy", max_epochs=27)
    frame = replay(once, grid)
    assert (len(frame), frame.spent.iloc[-1]) == hyperband_cost(27)
    first = frame.groupby(list(grid.parameters)).first()
    assert (first.cost == first.epochs).all()
    assert (frame.cost < frame.epochs).any()
    cells = frame.groupby(list(grid.parameters))
    assert (cells.cost.sum() == cells.epochs.max()).all()
    whole = replay("hyperband", grid)
    assert whole.spent.iloc[-1] == grid.cost  # repeated until every cell is trained to the end


def test_losses_and_diverged_cells():
    grid = small("min")
    grid.curves[0, :] = np.nan
    grid.curves[5, -1] = np.nan
    for method in ("random", "genetic", "halving"):
        frame = replay(method, grid)
        assert frame.score.isna().any()
        assert frame.best.iloc[-1] <= np.nanmin(grid.curves[:, -1])
        assert frame.regret.iloc[-1] >= 0
    frame = replay("grid", grid, max_epochs=3)
    assert np.isnan(frame.regret[0])
    assert (frame.epochs == 3).all()
    assert frame.seconds.tolist() == [3.0] * 6
    assert grid.best == np.nanmin(grid.curves[:, -1])


def test_an_oracle_of_keras_tuner_can_be_replayed(grid):
    stock = keras_tuner.oracles.RandomSearchOracle("val_accuracy", max_trials=5, hyperparameters=grid.space(), seed=1)
    assert len(replay(stock, grid)) == 5


@pytest.fixture(scope="module")
def final(grid):
    """Method -> the regrets at a quarter and at an eighth of the grid's cost, of ten seeds."""

    def regrets(method):
        frames = [replay(method, grid, budget=0.25, seed=seed) for seed in range(10)]
        halves = [frame[frame.spent <= 0.125 * grid.cost].regret.iloc[-1] for frame in frames]
        return np.median([frame.regret.iloc[-1] for frame in frames]), np.median(halves)

    return {method: regrets(method) for method in ("random", "bayesian", "genetic", "swarm", "halving", "hyperband")}


@pytest.mark.parametrize("method", ["bayesian", "genetic", "swarm"])
def test_what_learns_from_scores_is_no_worse_than_chance(final, method):
    assert final[method][0] <= final["random"][0]


@pytest.mark.parametrize("method", ["halving", "hyperband"])
def test_halving_finds_as_much_for_half_the_cost(final, method):
    assert final[method][1] <= final["random"][0]
