from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.reference import DenseNetwork, add_bias_column, assert_gradient, one_hot, sigmoid, softmax

# Softmax regression as a student writes it, the bias as the last row of the weights

N, L1, L2 = 20, 0.05, 0.1


class Softmax:
    """Loss and gradient on random data; an option other than the true one is a mistake in the gradient."""

    def __init__(self, seed: int, classes: int = 3, l1: float = L1, l2: float = L2):
        rng = np.random.default_rng(seed)
        self.x, self.y = add_bias_column(rng.normal(size=(N, 4))), rng.integers(classes, size=N)
        self.w = rng.choice([-1.0, 1.0], size=(5, classes)) * rng.uniform(0.1, 1, size=(5, classes))
        self.classes, self.l1, self.l2 = classes, l1, l2
        self.entry = tuple(int(rng.integers(n)) for n in self.w.shape)

    def loss(self, w):
        e = np.exp(self.x @ w)  # without the shift: these logits are small
        p = e / e.sum(axis=1, keepdims=True)
        return -np.log(p[np.arange(N), self.y]).mean() + self.l1 * np.abs(w).sum() + self.l2 * (w**2).sum()

    def gradient(self, w, *, l1_of=np.sign, l2_factor=2.0, divisor=N, label_shift=0, last=N, activation=softmax):
        y = one_hot((self.y + label_shift) % self.classes, self.classes)
        data = self.x[:last].T @ (activation(self.x @ w) - y)[:last] / divisor
        return data + self.l1 * l1_of(w) + l2_factor * self.l2 * w


def without_bias(g):
    return np.vstack([g[:-1], np.zeros_like(g[:1])])


def one_zeroed(problem, g):
    g[problem.entry] = 0.0
    return g


# a mistake -> the gradient that has it, and what the message says of it
MUTATIONS = {
    "sign": (lambda s, w: -s.gradient(w), "everything has the wrong sign"),
    "missing 1/N": (lambda s, w: s.gradient(w, divisor=1), "everything but the penalties is 20 times too large"),
    "missing 1/N of everything": (lambda s, w: N * s.gradient(w), "everything is 20 times too large"),
    "1/N twice": (lambda s, w: s.gradient(w) / N, "everything is 0.05 times what it should be"),
    "transposed": (lambda s, w: s.gradient(w).T, r"shape of the weights, \(5, 3\), not \(3, 5\): it is transposed"),
    "bias dropped": (lambda s, w: without_bias(s.gradient(w)), "row 4 alone is wrong, which is the bias's"),
    "a row short": (lambda s, w: s.gradient(w)[:-1], r"\(5, 3\), not \(4, 3\)\."),
    "L2 halved": (lambda s, w: s.gradient(w, l2_factor=1.0), "off by -0.1 w"),
    "L2 doubled": (lambda s, w: s.gradient(w, l2_factor=4.0), "off by 0.2 w"),
    "L1 sign lost": (lambda s, w: s.gradient(w, l1_of=np.ones_like), r"off by -0.1 sign\(w\)"),
    "L1 left out": (lambda s, w: s.gradient(w, l1_of=np.zeros_like), r"off by -0.05 sign\(w\)"),
    "labels off by one": (lambda s, w: s.gradient(w, label_shift=1), "of 15 checked entries of the gradient are wrong"),
    "last example left out": (
        lambda s, w: s.gradient(w, last=N - 1),
        "of 15 checked entries of the gradient are wrong",
    ),
    "sigmoid for softmax": (
        lambda s, w: s.gradient(w, activation=sigmoid),
        "of 15 checked entries of the gradient are wrong",
    ),
    "one entry zeroed": (lambda s, w: one_zeroed(s, s.gradient(w)), "1 of 15 checked entries"),
    "all zero": (lambda s, w: 0 * w, "everything is zero"),
    "not a number": (lambda s, w: s.gradient(w) * np.nan, r"gradient\[0, 0\] is nan, which is not finite"),
}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("penalties", [{}, {"l1": 0.0, "l2": 0.0}])
def test_a_correct_gradient_is_accepted(seed, penalties):
    problem = Softmax(seed, **penalties)
    assert_gradient(problem.loss, problem.gradient, problem.w)
    # the softmax of the loss has no shift, that of this gradient has: both are right
    assert_gradient(problem.loss, lambda w: problem.gradient(w).astype(np.float32), problem.w)
    assert_gradient(problem.loss, problem.gradient, problem.w, max_entries=4, seed=seed)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("mutation", MUTATIONS)
def test_mutations_are_rejected_and_named(mutation, seed):
    problem, (mutated, message) = Softmax(seed), MUTATIONS[mutation]
    with pytest.raises(AssertionError, match=message):
        assert_gradient(problem.loss, lambda w: mutated(problem, w), problem.w)


def test_a_transposed_square_is_recognised():
    problem = Softmax(0, classes=5)
    with pytest.raises(AssertionError, match="It looks as if it is transposed"):
        assert_gradient(problem.loss, lambda w: problem.gradient(w).T, problem.w)


def test_the_message_names_the_entry_and_what_was_expected():
    def gradient(w):
        return 2 * w + np.array([[0.0, 0.0], [0.25, 0.0]])

    with pytest.raises(AssertionError) as error:
        assert_gradient(lambda w: float(np.sum(w**2)), gradient, [[1.0, 2.0], [3.0, 4.0]])
    assert str(error.value) == (
        "1 of 4 checked entries of the gradient are wrong:\n  gradient[1, 0] is 6.25, expected 6 (off by 0.25)"
    )


def test_the_worst_five_come_first_and_the_rest_is_counted():
    slopes = np.array([1.0, 7.0, 2.0, 5.0, 3.0, 6.0, 4.0, -1.0])
    with pytest.raises(AssertionError) as error:
        assert_gradient(lambda w: 0.0, lambda w: slopes, np.zeros(8))
    lines = str(error.value).splitlines()
    assert [line.split(" is ")[0] for line in lines[1:6]] == [f"  gradient[{i}]" for i in (1, 5, 3, 6, 4)]
    assert lines[6] == "  and 3 more"


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.sampled_from([[], ["sigmoid"], ["tanh", "relu"]]), st.floats(1e-3, 1e3))
def test_correct_gradients_of_networks_are_accepted_at_any_scale(seed, hidden, scale):
    rng = np.random.default_rng(seed)
    sizes = [3, *[4] * len(hidden), 2]
    kernels = [rng.normal(size=(n, m)) for n, m in pairwise(sizes)]
    network = DenseNetwork(kernels, [rng.normal(size=m) for m in sizes[1:]], [*hidden, "identity"])
    function = network.loss_and_gradient(rng.normal(size=(6, 3)), scale * rng.normal(size=(6, 2)))
    assert_gradient(lambda w: function(w)[0], lambda w: function(w)[1], network.weights)


def test_a_kink_nearby_accuses_nobody_and_one_further_on_neither():
    for w in (4e-6, 3e-5, 0.0):
        assert_gradient(lambda v: np.abs(v).sum(), np.sign, [w, 1.0])


def test_weights_of_no_dimension_and_drawn_entries():
    assert_gradient(lambda w: float(w) ** 3, lambda w: 3 * w**2, 2.0)
    calls = []
    assert_gradient(lambda w: calls.append(0) or float(w @ w), lambda w: 2 * w, np.ones(1000), max_entries=10)
    assert len(calls) == 2 + 20


@pytest.mark.parametrize(
    ("loss", "gradient", "message"),
    [
        (lambda w: w, lambda w: w, r"one finite number. It is .*of shape \(3,\)"),
        (lambda w: None, lambda w: w, "one finite number. It is None"),
        (lambda w: np.nan, lambda w: w, "one finite number. It is nan"),
        (lambda w: np.float32(w @ w), lambda w: 2 * w, "computed in float32"),
        (lambda w: np.random.default_rng().normal(), lambda w: w, "two values for the same weights"),
        (lambda w: float(np.square(w, out=w).sum()), lambda w: 2 * w, "The loss changes the weights"),
        (lambda w: float(w @ w), lambda w: np.multiply(w, 2, out=w), "The gradient changes the weights"),
        (lambda w: float(w @ w), lambda w: None, "not None|not finite|shape"),
        (lambda w: float(w @ w), lambda w: [w, [1.0]], "must be one array of numbers"),
        (lambda w: float(w @ w), lambda w: 2 * w[:2], r"\(3,\), not \(2,\)"),
        (lambda w: float(w @ w), lambda w: 2 * w[:, None], r"\(3,\), not \(3, 1\)"),
    ],
)
def test_functions_that_cannot_be_checked_are_rejected_with_a_reason(loss, gradient, message):
    with pytest.raises(AssertionError, match=message):
        assert_gradient(loss, gradient, [1.0, 2.0, 3.0])


@pytest.mark.parametrize(
    ("weights", "options", "received"),
    [
        ([1.0], {"epsilon": 0.0}, "epsilon=0.0"),
        ([1.0], {"tolerance": np.nan}, "epsilon=1e-05, tolerance=nan"),
        ([1.0], {"max_entries": 0}, ".*max_entries=0"),
        ([], {}, r"weights=\[\]"),
        ([np.inf], {}, r"weights=\[inf\]"),
    ],
)
def test_a_wrong_request_is_no_wrong_gradient(weights, options, received):
    with pytest.raises(ValueError, match=f"Received: {received}"):
        assert_gradient(lambda w: 0.0, lambda w: w, weights, **options)


def test_one_entry_that_is_hardly_off_is_not_said_to_be_all():
    def gradient(w):
        return 2 * w * np.where(np.arange(w.size) == 2, 1 + 1e-4, 1)

    with pytest.raises(AssertionError, match="1 of 5 checked entries") as error:
        assert_gradient(lambda w: np.sum(w**2), gradient, np.arange(1.0, 6.0))
    assert "everything" not in str(error.value)


def test_a_complex_gradient_is_none():
    with pytest.raises(AssertionError, match="one array of numbers"):
        assert_gradient(lambda w: np.sum(w**2), lambda w: 2 * w + 0j, [1.0, 2.0])
