"""What a comparison makes of tables of scores, and how it says it."""

from __future__ import annotations

import dataclasses
import itertools
import math
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from score_tables import compared, long, quick, random_scores, tables

import zoo
from zoo.errors import UsageError
from zoo.evaluation.comparison_plot import MAX_ROWS


@quick
@given(tables, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_changes_nothing(shape, random):
    table = long(random_scores(shape))
    order = list(range(len(table)))
    random.shuffle(order)
    a, b = (zoo.compare(t, groups="name", units="seed") for t in (table, table.iloc[order]))
    pd.testing.assert_frame_equal(a.groups, b.groups)
    pd.testing.assert_frame_equal(a.pairs, b.pairs)
    assert a.sentences() == b.sentences()


@quick
@given(tables)
def test_smaller_is_better_mirrors_greater_is_better(shape):
    scores = random_scores(shape)
    up, down = compared(scores), compared(-scores, direction="min")
    assert list(up.groups["group"]) == list(down.groups["group"])
    for name in ("n", "std", "p", "p_holm", "indistinguishable"):
        np.testing.assert_allclose(up.groups[name], down.groups[name], rtol=1e-7)
    for name, mirrored in (
        ("mean", "mean"),
        ("low", "high"),
        ("difference", "difference"),
        ("difference_low", "difference_high"),
    ):
        np.testing.assert_allclose(up.groups[name], -down.groups[mirrored], rtol=1e-7)
    mentions = [[s for s in c.sentences() if "worse" in s] for c in (up, down)]
    assert mentions[0] == mentions[1]


@quick
@given(tables, st.integers(0, 100))
def test_what_a_unit_does_to_all_groups_alike_does_not_count(shape, seed):
    scores = random_scores(shape)
    a, b = compared(scores), compared(scores + np.random.default_rng(seed).normal(0, 5, scores.shape[1]))
    np.testing.assert_allclose(a.groups["difference"], b.groups["difference"], atol=1e-9)
    np.testing.assert_allclose(a.pairs[["p", "p_holm"]], b.pairs[["p", "p_holm"]], rtol=1e-5)


@quick
@given(tables)
def test_adjusted_p_values_are_not_below_the_raw_ones_and_decide(shape):
    found = compared(random_scores(shape))
    others = found.groups.iloc[1:]
    assert (others["p_holm"] >= others["p"]).all()
    assert (found.pairs["p_holm"] >= found.pairs["p"]).all()
    assert list(others["indistinguishable"]) == list(others["p_holm"] >= 1 - 0.95)
    assert found.indistinguishable[0] == found.best
    assert found.groups["mean"].is_monotonic_decreasing


# Edge cases


def test_identical_scores_are_not_told_apart():
    found = compared([[0.1, 0.1, 0.1]] * 3)
    assert found.best == "g0"
    assert found.indistinguishable == ["g0", "g1", "g2"]
    assert (found.pairs["p"] == 1).all()
    assert (found.groups["std"] == 0).all()
    np.testing.assert_array_equal(found.groups["low"], found.groups["high"])
    assert "Not distinguishable from it: g1, g2." in found.sentences()


def test_ties_go_to_the_first_by_number():
    names = ["trial 10", "trial 2", "trial 1"]
    assert compared([[0.5, 0.6], [0.6, 0.5], [0.1, 0.2]], names).best == "trial 2"


@pytest.mark.parametrize("interval", ["t", "bootstrap"])
def test_a_constant_difference(interval):
    """Accuracies come in steps: that four differences are the same does not mean that there is no noise."""
    rough = [0.9, 0.7, 0.8, 0.6]
    found = compared([rough, [x - 0.1 for x in rough]], interval=interval)  # equal but for rounding
    assert found.pairs["p"][0] == pytest.approx(2 / 2**4)
    assert found.pairs[["low", "high"]].isna().all(axis=None)
    assert found.indistinguishable == ["g0", "g1"]
    assert "nan" not in " ".join(found.sentences())


@pytest.mark.parametrize(("groups", "runs"), [(2, 2), (6, 2), (6, 3), (6, 5)])
def test_equal_groups_of_few_examples_are_rarely_told_apart(groups, runs):
    """Accuracies of 180 examples, with noise of 1.5 of them."""
    random = np.random.default_rng(0)
    count = 0
    for _ in range(200):
        hits = np.round(170 + 1.5 * random.standard_normal((groups, runs)))
        count += bool((compared((hits / 180).tolist()).pairs["p_holm"] < 0.05).any())
    assert count <= 20  # 5 % are 10; with 200 draws 20 come by chance in less than one case in 1000


def test_all_scores_equal():
    found = compared([[0.9, 0.9, 0.9], [0.9, 0.9, 0.9], [0.1, 0.1, 0.1]])
    text = " ".join(found.sentences())
    assert "nan" not in text
    assert "0.9000 (n = 3)" in text
    assert found.indistinguishable == ["g0", "g1", "g2"]
    found.figure()


def test_differences_of_rounding_are_none():
    found = compared([[0.1 + 0.2, 0.3], [0.3, 0.1 + 0.2], [0.3, 0.3]])
    assert (found.pairs["p"] == 1).all()


def test_a_single_unit_tells_nothing():
    found = compared([[0.9], [0.5]])
    assert found.best == "g0"
    assert found.indistinguishable == ["g0", "g1"]
    for name in ("std", "low", "high", "p", "p_holm"):
        assert found.groups[name].isna().all()
    assert "One run a group does not tell groups apart: repeat them with other seeds." in found.sentences()


@pytest.mark.parametrize("missing", [math.nan, math.inf, None])
def test_units_that_a_group_lacks_are_left_out(missing):
    table = long(random_scores((3, 6, 0)))
    table.loc[8, "score"] = missing  # g1 at seed 2
    found = zoo.compare(table.drop(index=0), groups="name", units="seed")  # and g0 lacks seed 0
    assert (found.left_out, found.groups["n"].tolist()) == (2, [4] * 3)
    assert list(found.scores.index) == ["1", "3", "4", "5"]
    assert "2 units were left out, because not every group has a score there." in found.sentences()


def test_a_group_without_scores_is_left_out():
    found = compared([[0.5, 0.6], [math.nan, math.nan], [0.4, 0.5]])
    assert list(found.groups["group"]) == ["g0", "g2"]
    assert found.left_out == 0
    assert "1 group has no score and is left out." in found.sentences()


def test_several_columns_make_a_group_and_a_unit():
    rows = [
        {"optimizer": o, "l2": l2, "fold": f, "repeat": r, "val_loss": f + r + (o == "sgd") + l2 + 0.1 * f * r * l2}
        for o, l2, f, r in itertools.product(["adam", "sgd"], [0.0, 0.5], range(2), range(3))
    ]
    found = zoo.compare(
        pd.DataFrame(rows), groups=["optimizer", "l2"], units=("fold", "repeat"), score="val_loss", direction="min"
    )
    assert found.best == "optimizer=adam, l2=0.0"
    assert found.groups["n"].tolist() == [6] * 4
    assert found.score == "val_loss"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"groups": "nme"}, "unknown column 'nme'; did you mean 'name'"),
        ({"units": ["seed", "fold"]}, "unknown column 'fold'"),
        ({"score": "accuracy"}, "unknown column 'accuracy'"),
        ({"groups": []}, r"need a column each. Received: groups=\[\]"),
        ({"direction": "up"}, "unknown direction 'up'"),
        ({"interval": "bayes"}, "unknown interval 'bayes'"),
        ({"confidence": 95}, "between 0 and 1. Received: confidence=95"),
        ({"folds": 0}, "Received: folds=0"),
        ({"folds": 3, "interval": "bootstrap"}, "use interval='t'. Received: folds=3"),
    ],
)
def test_a_wrong_request_is_one_line(change, message):
    options = {"groups": "name", "units": "seed"} | change
    with pytest.raises(UsageError, match=message):
        zoo.compare(long(random_scores((2, 3, 0))), **options)


def test_tables_that_cannot_be_compared():
    table = long(random_scores((2, 3, 0)))
    with pytest.raises(UsageError, match=r"Received: 'g0' at '1'"):
        zoo.compare(pd.concat([table, table.iloc[[1]]]), groups="name", units="seed")
    with pytest.raises(UsageError, match=r"two or more groups with scores. Received: \['g0'\]"):
        zoo.compare(table[table["name"] == "g0"], groups="name", units="seed")
    with pytest.raises(UsageError, match="no unit has a score of every group"):
        zoo.compare(table.assign(seed=range(6)), groups="name", units="seed")
    with pytest.raises(UsageError, match=r"Received: \[\]"):
        zoo.compare(table.head(0), groups="name", units="seed")


# Sentences and pictures


def test_the_sentences():
    base = np.array([0.97, 0.96, 0.98, 0.97, 0.965, 0.975])
    noise = np.array([1, -1, 1, -1, 1, -1]) * 1e-3
    found = dataclasses.replace(
        compared([base, base - 0.012 + noise, base - noise / 2 - 1e-4], ["adam", "sgd", "momentum"]),
        score="val_accuracy",
    )
    first, *others = found.sentences()
    assert first == "adam has the best mean val_accuracy, 0.9700 (95 % interval 0.9626 to 0.9774, n = 6)."
    assert others == [
        "Not distinguishable from it: momentum.",
        "sgd is worse by 0.012 (0.011 to 0.013), p < 0.0001 after Holm's correction.",
        "The best was chosen on these scores, so its mean is too good: score it on other data.",
    ]


def test_long_lists_become_counts():
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 0.01, (100, 5)) + np.where(np.arange(100) < 30, 0.9, 0.5)[:, None]
    sentences = compared(scores).sentences()
    assert len(sentences) == 4
    assert sentences[1].endswith("of the 99 others.")
    assert "are worse, the nearest of them" in sentences[2]
    assert all(len(s) < 160 for s in sentences)


def test_a_test_that_cannot_show_anything_says_so():
    sentences = compared(random_scores((2, 4, 0)), interval="bootstrap").sentences()
    assert any("cannot give p below 0.12" in s for s in sentences)


@pytest.mark.parametrize("groups", [2, 60])
def test_the_picture_has_a_row_a_group_and_at_most_forty(tmp_path, groups):
    found = compared(random_scores((groups, 5, 0)), [rf"$\broken{i} {'x' * 60}" for i in range(groups)])
    axes = found.figure().axes[0]
    assert len(axes.get_yticks()) == min(groups, MAX_ROWS)
    assert (f"the best {MAX_ROWS} of 60" in axes.get_xlabel()) == (groups == 60)
    alike = len(found.groups.head(MAX_ROWS).query("indistinguishable"))
    marked = [line for line in axes.lines if line.get_label().startswith("best")]
    assert [len(line.get_ydata()) for line in marked] == [alike]
    path = found.plot(tmp_path / "new" / "comparison.png")
    assert Image.open(path).size[0] > 900


def test_a_single_unit_is_drawn_without_intervals(tmp_path):
    found = compared([[0.9], [0.5]])
    assert "interval" not in found.figure().axes[0].get_xlabel()
    assert found.plot(tmp_path / "one.svg").read_text().startswith("<?xml")


def test_comparing_tables_loads_no_tensorflow():
    code = "import sys, zoo; zoo.compare; print([m for m in ('tensorflow', 'keras', 'matplotlib') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
