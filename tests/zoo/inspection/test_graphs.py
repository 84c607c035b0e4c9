"""Networks as units and connections, and matrices as cells: what is drawn where."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest

from zoo.errors import UsageError
from zoo.inspection import live_paths, plot_live_paths, plot_matrices, plot_network


def test_live_paths_counts_them_one_by_one():
    random = np.random.default_rng(0)
    for _ in range(20):
        alive = [random.random(size) < 0.7 for size in (2, 4, 1, 3)]
        ways = product(*(range(len(layer)) for layer in alive))
        expected = sum(all(layer[unit] for layer, unit in zip(alive, way, strict=True)) for way in ways)
        assert live_paths(alive) == expected


def test_a_network_has_its_numbers_on_its_connections():
    units = [["x1", "x2"], ["a", "b", "c"], ["y"]]
    connections = [np.array([[0.5, -0.25, 0.0], [0.125, 1, -1]]), np.array([[2.0], [0.1], [-0.1]])]
    axes = plot_network(units, connections, layers=["input", "σ", "identity"], title="by hand").axes[0]
    written = [text.get_text() for text in axes.texts]
    assert {"x1", "x2", "a", "b", "c", "y", "input", "σ", "identity"} <= set(written)
    numbers = [f"{w:+.3f}" for between in connections for w in between.ravel()]
    assert [text for text in written if text[0] in "+-"] == numbers
    widths, colours = [line.get_linewidth() for line in axes.lines], [line.get_color() for line in axes.lines]
    assert int(np.argmax(widths)) == numbers.index("+2.000")
    assert colours[:2] == ["C3", "C0"]
    assert axes.get_title() == "by hand"


def test_only_live_paths_are_coloured():
    cases = {"one way": [[True, False], [True], [False, True]], "none": [[True, True], [False], [True, True]]}
    for axes, ways, dead in zip(plot_live_paths(cases).axes, (2, 0), (2, 1), strict=True):
        assert sum(line.get_color() == "C0" and len(line.get_xdata()) == 2 for line in axes.lines) == ways
        assert sum(line.get_marker() == "X" for line in axes.lines) == dead
    assert plot_live_paths(cases).axes[0].get_title() == "one way\nlive paths: 1"
    once = {"one way": (layer for layer in cases["one way"])}  # is read but once
    assert plot_live_paths(once).axes[0].get_title() == "one way\nlive paths: 1"


def test_matrices_have_their_numbers_and_names():
    frame = pd.DataFrame(
        [[32, 16], [30, 15]], index=pd.Index([1, 3], name="kernel"), columns=pd.Index([1, 2], name="stride")
    )
    figure = plot_matrices({"sizes": frame, "signs": [[-1.0, 0.0], [0.123, 1.0]], "third": [[1.0]]}, columns=2)
    sizes, signs, _, nothing = figure.axes
    assert [text.get_text() for text in sizes.texts] == ["32", "16", "30", "15"]
    assert (sizes.get_xlabel(), sizes.get_ylabel()) == ("stride", "kernel")
    assert [text.get_text() for text in sizes.get_yticklabels()] == ["1", "3"]
    assert [text.get_text() for text in signs.texts] == ["-1", "0", "0.12", "1"]
    low, high = signs.images[0].get_clim()
    assert low == -high  # 0 is white
    assert not nothing.axison
    without = plot_matrices({"a": np.eye(3)}, numbers=None)
    assert not without.axes[0].texts
    assert len(without.axes) == 2  # with a colour bar


def test_refuses_what_cannot_be_drawn():
    for function, arguments, message in (
        (plot_network, ([["a"], ["b"]], [np.ones((1, 2))]), "connections between each two"),
        (plot_network, ([["a"], ["b"]], []), "connections between each two"),
        (plot_network, ([], []), r"one unit or more. Received: layers of \[\]"),
        (plot_network, ([["a"], []], [np.ones((1, 0))]), "one unit or more"),
        (plot_live_paths, ({},), "nothing to draw"),
        (plot_live_paths, ({"a": [[]]},), "layers of units"),
        (live_paths, ([],), "layers of units"),
        (plot_matrices, ({},), "a matrix or more"),
        (plot_matrices, ({"a": [1.0]},), "'a' is no matrix"),
        (plot_matrices, ({"a": [[np.nan]]},), "'a' is no matrix"),
        (plot_matrices, ({"a": [["x"]]},), "'a' is no matrix"),
    ):
        with pytest.raises(UsageError, match=message):
            function(*arguments)
