from __future__ import annotations

import math

import numpy as np
import pytest

import zoo
from zoo.data.split import Split
from zoo.errors import UsageError
from zoo.evaluation.paired_models import mcnemar
from zoo.evaluation.scoring import summarize


def evaluation(correct, labels=None):
    """The evaluation of a two-class model that is right where `correct` says so."""
    correct = np.asarray(correct, bool)
    labels = np.arange(len(correct)) % 2 if labels is None else np.asarray(labels)
    predicted = np.where(correct, labels, 1 - labels)
    split = Split.from_arrays(np.zeros((len(correct), 2), np.float32), labels, class_names=("no", "yes"))
    probabilities = np.eye(2)[predicted] * 0.8 + 0.1
    return summarize(probabilities, labels, split, np.log(probabilities))


def flags(*blocks):
    """(count, value) blocks as booleans."""
    return np.concatenate([np.full(count, value, bool) for count, value in blocks])


def test_mcnemar_is_the_binomial_test_of_the_examples_that_differ():
    a, b = flags((60, 1), (9, 1), (2, 0), (29, 0)), flags((60, 1), (9, 0), (2, 1), (29, 0))
    found = mcnemar(a, b)
    assert (found.both, found.only_a, found.only_b, found.neither) == (60, 9, 2, 29)
    assert found.p == pytest.approx(2 * sum(math.comb(11, k) for k in range(3)) / 2**11)
    assert found.difference == pytest.approx(a.mean() - b.mean())
    mirrored = mcnemar(b, a)
    assert (mirrored.p, mirrored.difference) == pytest.approx((found.p, -found.difference))


def test_models_that_agree_are_not_told_apart():
    assert mcnemar([True, False], [True, False]).p == 1
    assert mcnemar([True, False], [False, True]).p == 1


@pytest.mark.parametrize(("a", "b"), [([True], [True, False]), ([], []), ([[True]], [[True]])])
def test_other_examples_are_refused(a, b):
    with pytest.raises(UsageError, match="the same examples of both"):
        mcnemar(a, b)


@pytest.fixture
def compared():
    right = {
        "poor": flags((100, 1), (100, 0)),
        "good": flags((178, 1), (22, 0)),
        "twin": flags((176, 1), (20, 0), (4, 1)),
    }
    return zoo.compare_models({name: evaluation(correct) for name, correct in right.items()})


def test_accuracies_have_wilson_intervals(compared):
    assert list(compared.models["model"]) == ["twin", "good", "poor"]
    assert list(compared.models["correct"]) == [180, 178, 100]
    z, n = 1.959964, 200
    for row in compared.models.itertuples():
        centre = (row.accuracy + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * math.sqrt(row.accuracy * (1 - row.accuracy) / n + z * z / (4 * n * n))
        assert (row.low, row.high) == pytest.approx((centre - half, centre + half), abs=1e-6)


def test_each_pair_is_tested_and_adjusted(compared):
    pairs = compared.pairs
    assert list(zip(pairs["a"], pairs["b"], strict=True)) == [("twin", "good"), ("twin", "poor"), ("good", "poor")]
    assert list(zip(pairs["only_a"], pairs["only_b"], strict=True)) == [(4, 2), (80, 0), (78, 0)]
    assert pairs["p"][0] == pytest.approx(2 * (1 + 6 + 15) / 2**6)
    np.testing.assert_allclose(pairs["p_holm"], [pairs["p"][0], 3 * pairs["p"][1], 2 * pairs["p"][2]])
    assert compared.best == "twin"
    assert compared.indistinguishable == ["twin", "good"]
    assert compared.models["p_holm"].iloc[2] == pytest.approx(2 * pairs["p"][1])


def test_the_sentences(compared):
    assert compared.sentences() == [
        "twin has the best accuracy, 0.9000 (95 % interval 0.8506 to 0.9343, 200 examples).",
        "Not distinguishable from it: good.",
        "poor is worse by 0.40, p < 0.0001 after Holm's correction.",
        "This is about these trained models: the same settings with other seeds give others.",
        "The best was chosen on these scores, so its mean is too good: score it on other data.",
    ]


def test_of_equals_the_first_one_given_is_the_best():
    same = evaluation(flags((5, 1), (5, 0)))
    assert zoo.compare_models({"b": same, "a": same}).best == "b"


def test_what_cannot_be_compared():
    one = evaluation(flags((6, 1)))
    with pytest.raises(UsageError, match=r"two or more models. Received: \['a'\]"):
        zoo.compare_models({"a": one})
    with pytest.raises(UsageError, match="Received: 6 and 5"):
        zoo.compare_models({"a": one, "b": evaluation(flags((5, 1)))})
    with pytest.raises(UsageError, match=r"'a' and 'b' are not. Received: other true classes"):
        zoo.compare_models({"a": one, "b": evaluation(flags((6, 1)), labels=[1, 1, 1, 0, 0, 0])})
    with pytest.raises(UsageError, match="Received: confidence=0"):
        zoo.compare_models({"a": one, "b": one}, confidence=0)


def test_trained_models_are_compared():
    data = zoo.load_dataset("digits", limit=200, validation=0.3)
    models = {name: zoo.build(name, data.input_shape, data.num_classes, seed=0) for name in ("softmax", "mlp")}
    found = zoo.compare_models({name: zoo.evaluate(model, data.validation) for name, model in models.items()})
    assert set(found.models["model"]) == {"softmax", "mlp"}
    assert found.models["n"].tolist() == [len(data.validation)] * 2
