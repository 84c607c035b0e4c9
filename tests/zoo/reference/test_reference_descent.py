from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.reference import gradient_descent


def bowl(w: np.ndarray) -> tuple[float, np.ndarray]:
    """E = Σw², whose gradient is 2w: a step multiplies w by 1 - 2η."""
    return float(np.sum(w**2)), 2.0 * w


# Gradient descent


def test_the_path_and_its_losses_on_a_known_bowl():
    path = gradient_descent(bowl, [[8.0], [-4.0]], learning_rate=0.25, epochs=3)
    np.testing.assert_array_equal(path.weights[:, :, 0], [[8, -4], [4, -2], [2, -1], [1, -0.5]])
    np.testing.assert_array_equal(path.losses, [80, 20, 5, 1.25])


def test_no_epoch_leaves_the_start_alone():
    path = gradient_descent(bowl, [3.0], learning_rate=0.25, epochs=0)
    np.testing.assert_array_equal(path.weights, [[3.0]])
    np.testing.assert_array_equal(path.losses, [9.0])


def test_the_start_is_not_changed():
    start = np.array([8.0])
    gradient_descent(bowl, start, learning_rate=0.25, epochs=3)
    assert start[0] == 8.0


# From 64 on, the losses 64, 16, 4, 1 change by 48, 12 and 3.
@pytest.mark.parametrize(("tolerance", "steps"), [(None, 5), (1e-9, 5), (3.0, 4), (3.1, 3), (12.0, 3), (50.0, 1)])
def test_descent_stops_after_the_first_change_below_the_tolerance(tolerance, steps):
    path = gradient_descent(bowl, [8.0], learning_rate=0.25, epochs=5, tolerance=tolerance)
    assert len(path.weights) == len(path.losses) == steps + 1


def test_a_rising_loss_is_measured_by_its_size_and_does_not_stop_the_descent():
    path = gradient_descent(bowl, [1.0], learning_rate=2.0, epochs=3, tolerance=0.1)  # w ← -3w
    np.testing.assert_array_equal(path.losses, [1, 9, 81, 729])


@settings(deadline=None, max_examples=50)
@given(st.floats(0.01, 0.49), st.lists(st.floats(-10, 10), min_size=1, max_size=4))
def test_every_step_follows_the_formula(learning_rate, start):
    path = gradient_descent(bowl, start, learning_rate=learning_rate, epochs=5)
    expected = [np.array(start) * (1 - 2 * learning_rate) ** t for t in range(6)]
    np.testing.assert_allclose(path.weights, expected, rtol=1e-12, atol=1e-300)


@pytest.mark.parametrize(
    "options",
    [{"learning_rate": 0.0}, {"learning_rate": np.nan}, {"epochs": -1}, {"tolerance": 0.0}, {"tolerance": np.nan}],
)
def test_descent_refuses_options_out_of_range(options):
    (name, value), *_ = options.items()
    with pytest.raises(ValueError, match=f"Received: {name}={value}$"):
        gradient_descent(bowl, [1.0], **{"learning_rate": 0.1, "epochs": 3, **options})


def test_descent_refuses_a_gradient_of_another_shape():
    with pytest.raises(ValueError, match=r"Received: weights=\(2,\), gradient=\(2, 1\)$"):
        gradient_descent(lambda w: (0.0, w[:, None]), [1.0, 2.0], learning_rate=0.1, epochs=1)
