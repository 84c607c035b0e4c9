"""Single models on the same examples: intervals of their accuracies, and McNemar's test of each pair."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from typing import Protocol

import numpy as np
import pandas as pd
from scipy import stats

from zoo.errors import UsageError
from zoo.evaluation.intervals import check_confidence, wilson_interval
from zoo.evaluation.significance import holm
from zoo.evaluation.statements import CHOSEN, indistinguishable_sentence, number, p_value


class Scored(Protocol):
    """A model's answers on a split, as `zoo.Evaluation` has them."""

    @property
    def predictions(self) -> pd.DataFrame:
        """One row an example: true and correct are read."""


@dataclasses.dataclass(frozen=True)
class McNemar:
    """Two classifiers on the same examples.

    Attributes:
        both: examples that both have right.
        only_a: examples that the first has right and the second wrong.
        only_b: the reverse.
        neither: examples that both have wrong.
        difference: accuracy of the first minus that of the second.
        p: two-sided p value of equal accuracies; 1 where no example tells them apart.
    """

    both: int
    only_a: int
    only_b: int
    neither: int
    difference: float
    p: float


@dataclasses.dataclass(frozen=True, eq=False)
class ModelComparison:
    """What the same examples show about single models.

    Attributes:
        models: one row a model, the best first: model, correct, n, accuracy, low and high (Wilson's interval), p_holm
            (McNemar's test against the best, over all of these), indistinguishable (p_holm >= 1 - confidence).
        pairs: one row a pair: a, b (a stands before b in `models`), only_a and only_b (examples that just one of them has
            right), difference (of the accuracies, a minus b), p, p_holm (over all pairs).
        confidence: of the intervals; 1 - confidence is the level of the tests.
    """

    models: pd.DataFrame
    pairs: pd.DataFrame
    confidence: float

    @property
    def best(self) -> str:
        """The name of the model with the best accuracy; of equals the first one given."""
        return str(self.models["model"].iloc[0])

    @property
    def indistinguishable(self) -> list[str]:
        """The names of the models that cannot be told from the best, itself the first."""
        return list(self.models.loc[self.models["indistinguishable"], "model"])

    def sentences(self) -> list[str]:
        """What the examples show and what they do not, in a few plain sentences."""
        best = self.models.iloc[0]
        interval = f"{100 * self.confidence:g} % interval {number(best['low'])} to {number(best['high'])}"
        told = [f"{self.best} has the best accuracy, {number(best['accuracy'])} ({interval}, {best['n']} examples)."]
        told.append(indistinguishable_sentence(self.models["model"].tolist(), self.indistinguishable))
        worse = self.models[~self.models["indistinguishable"]]
        if len(worse):
            nearest, count = worse.iloc[0], len(worse)
            subject = (
                f"{nearest['model']} is worse" if count == 1 else f"{count} are worse, {nearest['model']} the least,"
            )
            less = f"{best['accuracy'] - nearest['accuracy']:#.2g}"
            told.append(f"{subject} by {less}, {p_value(nearest['p_holm'])} after Holm's correction.")
        told.append("This is about these trained models: the same settings with other seeds give others.")
        return [*told, CHOSEN]


def mcnemar(correct_a: np.ndarray, correct_b: np.ndarray) -> McNemar:
    """McNemar's exact test: do two classifiers differ in accuracy on the same examples?

    Only examples that just one of them has right tell. If the accuracies are equal, each of these is the first's or the
    second's with probability 1/2, so their number is binomial (McNemar, 1947, Note on the sampling error of the difference
    between correlated proportions or percentages).

    Args:
        correct_a: (N,) booleans, whether the first has each example right.
        correct_b: (N,) booleans of the second, in the same order.

    Raises:
        UsageError: the lengths differ, or there is no example.

    Examples:
        >>> mcnemar(first.predictions["correct"], second.predictions["correct"]).p
    """
    a, b = np.asarray(correct_a, bool), np.asarray(correct_b, bool)
    if a.shape != b.shape or a.ndim != 1 or not len(a):
        raise UsageError(f"McNemar's test needs the same examples of both, one or more. Received: {a.shape}, {b.shape}")
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    p = float(stats.binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0
    return McNemar(int((a & b).sum()), only_a, only_b, int((~a & ~b).sum()), (only_a - only_b) / len(a), p)


def compare_models(evaluations: Mapping[str, Scored], *, confidence: float = 0.95) -> ModelComparison:
    """Compares the accuracies of trained models on the same examples.

    Intervals are Wilson's (1927), tests McNemar's, exact, adjusted by Holm's method (1979). They tell what other examples
    would do to these models, not what other seeds would do to the settings: for that see `compare`.

    Args:
        evaluations: name -> `zoo.evaluate(model, split)`, two or more, all on the same split.
        confidence: of the intervals, between 0 and 1; 1 - confidence is the level of the tests.

    Raises:
        UsageError: fewer than two models, or their examples are not the same.

    Examples:
        >>> compare_models({"cnn": zoo.evaluate(cnn, data.test), "mlp": zoo.evaluate(mlp, data.test)}).sentences()
    """
    check_confidence(confidence)
    if len(evaluations) < 2:
        raise UsageError(f"a comparison needs two or more models. Received: {list(evaluations)}")
    _check_same_examples(evaluations)
    correct = {name: e.predictions["correct"].to_numpy(bool) for name, e in evaluations.items()}
    names = sorted(correct, key=lambda name: -correct[name].sum())  # stable: of equals the first one given
    rows = []
    for a, b in itertools.combinations(names, 2):
        test = mcnemar(correct[a], correct[b])
        rows.append((a, b, test.only_a, test.only_b, test.difference, test.p))
    pairs = pd.DataFrame(rows, columns=["a", "b", "only_a", "only_b", "difference", "p"])
    pairs["p_holm"] = holm(pairs["p"].to_numpy())
    models = pd.DataFrame({"model": names, "correct": [int(correct[name].sum()) for name in names]})
    models["n"] = len(correct[names[0]])
    models["accuracy"] = models["correct"] / models["n"]
    counts = zip(models["correct"], models["n"], strict=True)
    bounds = [wilson_interval(hits, n, confidence=confidence) for hits, n in counts]
    models["low"], models["high"] = zip(*bounds, strict=True)
    p_holm = holm(pairs["p"].to_numpy()[: len(names) - 1])  # the pairs with the best stand first
    models["p_holm"] = np.append(np.nan, p_holm)
    models["indistinguishable"] = np.append(True, p_holm >= 1 - confidence)
    return ModelComparison(models, pairs, confidence)


def _check_same_examples(evaluations: Mapping[str, Scored]) -> None:
    """Raises unless all have the same true classes in the same order."""
    names = list(evaluations)
    first = evaluations[names[0]].predictions["true"].to_numpy()
    if not len(first):
        raise UsageError("a comparison needs examples. Received: an evaluation of none")
    for name in names[1:]:
        other = evaluations[name].predictions["true"].to_numpy()
        if len(other) != len(first) or (other != first).any():
            what = f"{len(first)} and {len(other)}" if len(other) != len(first) else "other true classes"
            raise UsageError(
                f"models are compared on the same examples in the same order, and {names[0]!r} and {name!r} are not. "
                f"Received: {what}"
            )
