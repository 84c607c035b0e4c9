"""Derivatives without a derivation, to hold the hand-written ones against."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from zoo.reference.losses import FloatArray, IntArray


def numerical_gradient(
    function: Callable[[FloatArray], float], weights: npt.ArrayLike, *, epsilon: float = 1e-5
) -> FloatArray:
    """∂f/∂w_i ≈ [f(w + ε e_i) - f(w - ε e_i)] / 2ε: central differences, one entry at a time.

    The formula is off by O(ε²), and rounding f by about 1e-16 |f| / ε. Both are near 1e-10 at the default ε, so
    expect some nine digits where f is smooth, and none at a kink (ReLU at 0).

    Args:
        function: f, from an array in the shape of the weights to a number.
        weights: w, of any shape.
        epsilon: ε, above 0.

    Returns:
        The gradient, in the shape of the weights.

    Raises:
        ValueError: when epsilon is not above 0.

    Examples:
        >>> numerical_gradient(lambda w: float(w @ w), [1.0, -3.0]).round(6)
        array([ 2., -6.])
    """
    w = np.asarray(weights, dtype=np.float64)
    return _central_differences(function, w, range(w.size), epsilon).reshape(w.shape)


def difference_errors(
    function: Callable[[FloatArray], float],
    gradient: npt.ArrayLike,
    weights: npt.ArrayLike,
    *,
    epsilons: Iterable[float],
    entries: Iterable[int] | None = None,
) -> FloatArray:
    """max_i |central difference - gradient_i| for each ε: a line of slope 2 over log ε until rounding takes over.

    Args:
        function: f, from an array in the shape of the weights to a number.
        gradient: ∂f/∂w as it was derived, in the shape of the weights.
        weights: w, of any shape.
        epsilons: the ε, above 0.
        entries: which entries are compared, as places in `weights.ravel()`; `None` for all.

    Returns:
        The largest difference for each ε, shape (number of ε,).

    Raises:
        ValueError: when an epsilon is not above 0, or the gradient has not the shape of the weights.

    Examples:
        >>> difference_errors(lambda w: float(w**3), 3.0, 1.0, epsilons=[1e-1, 1e-2]).round(8)  # ε²
        array([0.01  , 0.0001])
    """
    w, g = np.asarray(weights, dtype=np.float64), np.asarray(gradient, dtype=np.float64)
    if g.shape != w.shape:
        raise ValueError(
            f"The gradient must have the shape of the weights. Received: weights={w.shape}, gradient={g.shape}"
        )
    chosen = list(range(w.size) if entries is None else entries)
    differences = [_central_differences(function, w, chosen, epsilon) - g.ravel()[chosen] for epsilon in epsilons]
    largest: FloatArray = np.abs(differences).max(axis=1)
    return largest


def assert_gradient(
    loss: Callable[[FloatArray], float],
    gradient: Callable[[FloatArray], npt.ArrayLike],
    weights: npt.ArrayLike,
    *,
    epsilon: float = 1e-5,
    tolerance: float = 1e-6,
    max_entries: int | None = None,
    seed: int = 0,
) -> None:
    """Holds a gradient that somebody wrote against central differences of the loss that they wrote. NumPy is all it needs.

    An entry is wrong when it is off by more than `tolerance` times its size, and by more than the differences themselves
    can be off, at ε and again at ε/10: a kink close to w (ReLU, L1) accuses nobody.

    In an autograder, with the student's file in `student.py`::

        import numpy as np
        import student
        from zoo.reference import assert_gradient

        def test_gradient_of_softmax_regression():
            rng = np.random.default_rng(0)
            x, y = rng.normal(size=(20, 5)), rng.integers(3, size=20)
            assert_gradient(
                lambda w: student.loss(w, x, y, l2=0.1),
                lambda w: student.gradient(w, x, y, l2=0.1),
                weights=rng.normal(size=(5, 3)),
            )

    Let the weights be random and not zeros, where penalties and many mistakes vanish, and the examples few: two losses are
    computed for each entry. Where kernel and bias are apart, check one after the other, the bias by
    `assert_gradient(lambda b: loss(w, b), lambda b: gradient(w, b)[1], b)`.

    Args:
        loss: w -> a number. Both functions get float64 copies of the weights.
        gradient: w -> ∂loss/∂w, in the shape of the weights.
        weights: w, of any shape.
        epsilon: ε of the central differences, above 0.
        tolerance: how far an entry may be off, relative to its size; above 0.
        max_entries: check only so many entries, drawn by seed; `None` for all.
        seed: of the entries that are drawn.

    Raises:
        AssertionError: when the gradient is wrong in shape or value or is not finite, with the worst entries, what was
            expected there, and what the mistake looks like; when the loss is no finite float64 number, or another one
            when it is called again; when a function changes the weights that it is given.
        ValueError: when an option is out of range, or the weights are none or not finite.

    Examples:
        >>> assert_gradient(lambda w: np.sum(w**2), lambda w: 2 * w, [1.0, -3.0, 2.0])
        >>> assert_gradient(lambda w: np.sum(w**2), lambda w: w, [1.0, -3.0, 2.0])
        Traceback (most recent call last):
        AssertionError: 3 of 3 checked entries of the gradient are wrong:
          gradient[1] is -3, expected -6 (off by 3)
          gradient[2] is 2, expected 4 (off by 2)
          gradient[0] is 1, expected 2 (off by 1)
        It looks as if everything is 0.5 times what it should be.
    """
    if not (epsilon > 0 and tolerance > 0) or (max_entries is not None and not max_entries >= 1):
        raise ValueError(
            "Epsilon and tolerance must be above 0, max_entries 1 or more. "
            f"Received: epsilon={epsilon}, tolerance={tolerance}, max_entries={max_entries}"
        )
    w = np.array(weights, dtype=np.float64)
    if not w.size or not np.isfinite(w).all():
        raise ValueError(f"Weights must be finite, and at least one. Received: weights={w}")

    def loss_at(point: FloatArray) -> float:
        return _number(_called("loss", loss, point))

    value = loss_at(w)
    if loss_at(w) != value:
        raise AssertionError("The loss gives two values for the same weights: fix the seed of what is drawn in it.")
    found = _gradient_of_shape(_called("gradient", gradient, w), w.shape)

    entries = np.sort(np.random.default_rng(seed).permutation(w.size)[:max_entries])
    found, expected, suspects = found.ravel()[entries], np.zeros(entries.size), np.arange(entries.size)
    for step in (epsilon, epsilon / 10.0):
        expected[suspects] = _central_differences(loss_at, w, entries[suspects], step)
        rounding = 20.0 * np.finfo(np.float64).eps * max(abs(value), 1e-3) / step
        size = np.maximum(np.abs(found), np.abs(expected)) + 1e-3 * np.abs(expected).max()
        suspects = suspects[(np.abs(found - expected) > tolerance * size + rounding)[suspects]]
    if suspects.size:
        raise AssertionError(_message(w, found, expected, entries, suspects))


def _message(w: FloatArray, found: FloatArray, expected: FloatArray, entries: IntArray, wrong: IntArray) -> str:
    """What is wrong. `found` and `expected` are of the checked entries, among which `wrong` says the wrong ones."""
    places = [tuple(map(int, np.unravel_index(entry, w.shape))) for entry in entries]
    off = np.abs(found - expected)
    lines = [f"{wrong.size} of {entries.size} checked entries of the gradient are wrong:"]
    for i in wrong[np.argsort(-off[wrong], kind="stable")][:5]:
        text = f"{found[i] + 0.0:.6g}, expected {expected[i] + 0.0:.6g} (off by {off[i]:.3g})"  # no -0
        lines.append(f"  gradient[{', '.join(map(str, places[i]))}] is {text}")
    if wrong.size > 5:
        lines.append(f"  and {wrong.size - 5} more")
    looks = _looks_by_value(w.ravel()[entries], found, expected, wrong)
    if not looks and w.ndim == 2 and entries.size == w.size:
        looks = _looks_by_place(found.reshape(w.shape), expected.reshape(w.shape), [places[i] for i in wrong])
    return "\n".join([*lines, f"It looks as if {looks}."] if looks else lines)


def _looks_by_value(w: FloatArray, found: FloatArray, expected: FloatArray, wrong: IntArray) -> str:
    difference, look = (found - expected)[wrong], ""
    if not found.any():
        look = "everything is zero"
    elif (c := _factor(found, expected)) is not None and not np.isclose(c, 1.0, rtol=1e-3):
        look = "everything" + _scaled(c)
    elif (c := _factor(difference, w[wrong])) is not None:
        look = f"it is off by {c:.4g} w (the penalty λ Σw² has the gradient 2λw)"
    elif (c := _factor(difference, np.sign(w[wrong]))) is not None:
        look = f"it is off by {c:.4g} sign(w) (the penalty λ Σ|w| has the gradient λ sign(w))"
    elif found.size > 5:
        # found = c · (expected - penalties) + penalties, whose gradients are multiples of w and sign(w)
        columns = np.stack([expected, w, np.sign(w)], axis=1)
        fit = np.linalg.lstsq(columns, found, rcond=None)[0]
        if _are_alike(found, columns @ fit) and not np.isclose(fit[0], 1.0, rtol=1e-3):
            look = "everything but the penalties" + _scaled(float(fit[0]))
    return look


def _scaled(c: float) -> str:
    if np.isclose(c, -1.0, rtol=1e-4):
        return " has the wrong sign"
    if abs(c) > 1:
        return f" is {c:.5g} times too large (a sum where the loss has a mean over so many?)"
    return f" is {c:.5g} times what it should be"


def _looks_by_place(found: FloatArray, expected: FloatArray, wrong: list[tuple[int, ...]]) -> str:
    rows, columns = ({place[axis] for place in wrong} for axis in (0, 1))
    look = ""
    if found.shape == found.T.shape and _are_alike(found, expected.T):
        look = "it is transposed"
    elif len(rows) == 1 < min(len(wrong), len(found)):
        look = f"row {min(rows)} alone is wrong"
        if min(rows) == len(found) - 1:
            look += ", which is the bias's if the inputs end with a column of ones"
    elif len(columns) == 1 < min(len(wrong), found.shape[1]):
        look = f"column {min(columns)} alone is wrong"
    return look


def _factor(values: FloatArray, of: FloatArray) -> float | None:
    """The c with values = c · of, if there is one; for two entries there could be one by accident."""
    if np.count_nonzero(of) < 3:
        return None
    c = float(values @ of / (of @ of))
    return c if _are_alike(values, c * of) else None


def _are_alike(a: FloatArray, b: FloatArray) -> bool:
    return bool(np.abs(a - b).max() <= 1e-4 * np.abs(b).max())


def _called(name: str, function: Callable[[FloatArray], Any], point: FloatArray) -> Any:
    given = point.copy()
    result = function(given)
    if not np.array_equal(given, point):
        raise AssertionError(f"The {name} changes the weights that it is given: it should work on a copy.")
    return result


def _number(loss: Any) -> float:
    value = np.asarray(loss)
    if value.size != 1 or value.dtype.kind not in "iuf" or not np.isfinite(value).all():
        raise AssertionError(f"The loss must be one finite number. It is {value}, of shape {value.shape}.")
    if value.dtype in (np.float16, np.float32):
        raise AssertionError(f"The loss is computed in {value.dtype}, too coarse for central differences: use float64.")
    return float(value.item())


def _gradient_of_shape(gradient: Any, shape: tuple[int, ...]) -> FloatArray:
    try:
        g = np.asarray(gradient)
        g = g.astype(np.float64, casting="unsafe" if g.dtype.kind == "O" else "same_kind")
    except (TypeError, ValueError):
        raise AssertionError(f"The gradient must be one array of numbers, not {gradient!r}.") from None
    if g.shape != shape:
        transposed = ": it is transposed" if g.shape == shape[::-1] else ""
        raise AssertionError(f"The gradient must have the shape of the weights, {shape}, not {g.shape}{transposed}.")
    if not np.isfinite(g).all():
        place = np.argwhere(~np.isfinite(g))[0].tolist()
        raise AssertionError(f"gradient{place} is {g[tuple(place)]}, which is not finite.")
    return g


def _central_differences(
    function: Callable[[FloatArray], float], w: FloatArray, entries: Iterable[int], epsilon: float
) -> FloatArray:
    """The differences of the chosen places in `w.ravel()`, one after another."""
    if not epsilon > 0:
        raise ValueError(f"The step must be above 0. Received: epsilon={epsilon}")
    differences = []
    for entry in entries:
        step = np.zeros_like(w)
        step[np.unravel_index(entry, w.shape)] = epsilon
        differences.append((function(w + step) - function(w - step)) / (2.0 * epsilon))
    return np.array(differences, dtype=np.float64)
