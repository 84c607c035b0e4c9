from __future__ import annotations

import contextlib

import keras_tuner
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle_play import cell, continuous_space, make, mixed_space, play

from tuning.oracles.cells import check_cells, count_cells, gene_of, is_finite, iterate_cells, list_values, value_at
from zoo.errors import UsageError


def space_of(kind, *args, **options):
    hp = keras_tuner.HyperParameters()
    getattr(hp, kind)("a", *args, **options)
    return hp


def values_of(kind, *args, **options):
    return list(list_values(space_of(kind, *args, **options).space[0]))


def test_a_stepped_range_has_its_maximum_and_no_dirt():
    assert values_of("Float", 0, 1, step=0.1) == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
    assert values_of("Float", 0, 0.25, step=0.1) == [0.0, 0.1, 0.2]
    assert values_of("Float", -0.3, 0.3, step=0.3) == [-0.3, 0.0, 0.3]
    assert values_of("Float", 1e-4, 1, step=10, sampling="log") == [1e-4, 1e-3, 1e-2, 1e-1, 1.0]
    assert values_of("Float", 1e-3, 1e-1, step=10**0.5, sampling="log")[::2] == pytest.approx([1e-3, 1e-2, 1e-1])
    assert values_of("Float", 1, 100, step=10, sampling="reverse_log") == [100.0, 91.0, 1.0]
    assert values_of("Int", 1, 1000, step=10, sampling="log") == [1, 10, 100, 1000]
    assert values_of("Int", 1, 4, sampling="log") == [1, 2, 3, 4]
    assert values_of("Int", 6, 13, step=3) == [6, 9, 12]
    assert values_of("Choice", [2, 1, 3]) == [2, 1, 3]
    assert values_of("Float", 0.5, 0.5, step=0.1) == [0.5]


@given(
    low=st.integers(-50, 50),
    count=st.integers(1, 40),
    step=st.sampled_from([0.1, 0.05, 0.25, 0.3, 1.5]),
    rest=st.integers(0, 9),
)
def test_steps_meet_the_maximum_wherever_it_is_a_step(low, count, step, rest):
    high = low + (count - 1) * step + rest / 10 * step
    parameter = space_of("Float", low, high, step=step).space[0]
    values = list_values(parameter)
    assert len(values) == count
    assert values[0] == low
    assert list(values) == pytest.approx([low + i * step for i in range(count)])
    assert max(values) <= high
    assert [value_at(parameter, gene_of(parameter, value)) for value in values] == list(values)
    assert {value_at(parameter, i / 1000) for i in range(1000)} == set(values)


@given(
    sizes=st.lists(st.integers(1, 3), min_size=1, max_size=4),
    opens=st.lists(st.integers(0, 3), min_size=4, max_size=4),
)
def test_as_many_cells_are_counted_as_are_visited(sizes, opens):
    hp = keras_tuner.HyperParameters()
    hp.Choice("p0", list(range(sizes[0])))
    with contextlib.ExitStack() as scopes:
        for i, size in enumerate(sizes[1:], 1):
            scopes.enter_context(hp.conditional_scope(f"p{i - 1}", [opens[i]]))
            hp.Choice(f"p{i}", list(range(size)))
            hp.Float(f"f{i}", 0, 0.2, step=0.1)
    cells = [cell(values) for values in iterate_cells(hp)]
    assert len(cells) == len(set(cells)) == count_cells(hp)
    if len(cells) < 100:
        assert [cell(values) for values in play(make("grid", hp, objective="val_loss"))] == cells


def test_a_name_under_two_conditions_is_one_parameter():
    hp = keras_tuner.HyperParameters()
    hp.Choice("kind", ["a", "b", "c"])
    with hp.conditional_scope("kind", ["a", "b"]):
        hp.Choice("n", [1, 2])
    with hp.conditional_scope("kind", ["b", "c"]):
        hp.Choice("n", [3, 4, 5])
    found = [(values["kind"], values["n"]) for values in iterate_cells(hp)]
    assert found == [("a", 1), ("a", 2), ("b", 1), ("b", 2), ("c", 3), ("c", 4), ("c", 5)]
    assert count_cells(hp) == 7


def test_finite_and_infinite_spaces():
    assert is_finite(mixed_space())
    assert not is_finite(continuous_space())
    check_cells(mixed_space())
    with pytest.raises(UsageError, match=r"rate is a range.*give a list"):
        count_cells(continuous_space())
    with pytest.raises(UsageError, match=r"a is a range.*give a list"):
        make("grid", space_of("Float", 0, 1), objective="val_loss")


def test_a_grid_is_in_the_declared_order():
    hp = keras_tuner.HyperParameters()
    hp.Choice("a", [2, 1])
    hp.Choice("b", [0.5, 0.1])
    asked = [tuple(v.values()) for v in play(make("grid", hp, objective="val_loss"))]
    assert asked == [(2, 0.5), (2, 0.1), (1, 0.5), (1, 0.1)]


def test_a_grid_never_waits_while_cells_are_left():
    oracle = make("grid", mixed_space(), objective="val_loss")
    trials = [oracle_trial(oracle, i) for i in range(25)]
    assert [trial.status for trial in trials] == ["RUNNING"] * 24 + ["IDLE"]


def oracle_trial(oracle, number):
    from tuning import oracles

    with oracles.opened(oracle):
        return oracle.create_trial(str(number))
