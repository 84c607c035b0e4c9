"""A member of a stacked program equals its solo run from the same seed, whatever its neighbours."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import tuning
import zoo
from tuning.discovery import discover
from tuning.task import Setting, TrialTask, state_path
from tuning.trial import TrialRunner
from tuning.vectorized import grouping
from zoo.training.state import State

pytestmark = pytest.mark.usefixtures("traced_once")
OPTIMIZERS = [("sgd", 0.0), ("sgd", 0.9), ("nesterov", 0.8), ("adagrad", 0.0), ("adam", 0.0), ("adamw", 0.0)]
RATES = {"sgd": 0.05, "nesterov": 0.03, "adagrad": 0.05, "adam": 0.003, "adamw": 0.003}  # at which training is stable


def setting_for(model, data, recipe, *, dtype="float64", folds=1, repeats=1, **fixed):
    values = {"l1": [0.0], "l2": [0.0], "learning_rate": [recipe.learning_rate], "seed": [0], "dtype": [dtype]}
    if model == "mlp":
        values |= {"dropout": [0.0], "num_layers": [1]}
    space = tuning.space(model, data.input_shape, data.num_classes, values=values | fixed, recipe=recipe)
    return Setting(space, data, recipe, "val_accuracy", "max", folds=folds, repeats=repeats, stacked=True)


def tasks_for(setting, members, folder, **changes):
    """A task for each member: its values and `epochs`."""
    config = discover(setting.hypermodel).get_config()
    tasks = []
    for number, member in enumerate(members):
        values = {**config["values"], **{k: v for k, v in member.items() if k != "epochs"}}
        own = {"epochs": member.get("epochs"), "pause": True, "keep_models": 0, **changes}
        tasks.append(TrialTask(number, {**config, "values": values}, str(folder), **own))
    return tasks


def run_all(setting, members, folder, *, together, runner=None, **changes):
    """(outcomes, states at the end) of members that are trained as one program, or each by itself without it."""
    tasks = tasks_for(setting, members, folder, **changes)
    if together:
        assert (
            {grouping.group_key(setting, task) for task in tasks} == {grouping.group_key(setting, tasks[0])} != {None}
        )
        outcomes = (runner or TrialRunner(setting)).run(tasks)
    else:
        solo = runner or TrialRunner(dataclasses.replace(setting, stacked=False))
        outcomes = [outcome for task in tasks for outcome in solo.run([task])]
    assert [outcome.reason for outcome in outcomes] == [None] * len(members)
    runs = range(setting.folds * setting.repeats)
    states = [State.load(state_path(folder, task.number, run)) for task in tasks for run in runs]
    return outcomes, states


def assert_equal(one, other, tolerance):
    for (mine, its_state), (solo, solo_state) in zip(zip(*one, strict=True), zip(*other, strict=True), strict=True):
        assert mine.status == solo.status
        assert mine.epochs == solo.epochs
        assert mine.metrics == pytest.approx(solo.metrics, rel=1e-5, abs=2e-6)  # measures are float32
        assert its_state.arrays.keys() == solo_state.arrays.keys()
        for name, array in its_state.arrays.items():
            expected = solo_state.arrays[name]
            assert array.dtype == expected.dtype, name
            closeness = 2e-6 if name in ("losses", "steps") else tolerance
            np.testing.assert_allclose(array, expected, rtol=closeness, atol=closeness, err_msg=name)
        without_time(its_state), without_time(solo_state)
        assert its_state.facts == approximately(solo_state.facts)


def without_time(state):
    state.facts["seconds"] = state.facts["records"]["elapsed"] = 0
    for row in state.facts["records"]["epochs"]:
        row["seconds"] = 0


def approximately(facts):
    if isinstance(facts, dict):
        return Nearly({key: approximately(value) for key, value in facts.items()})
    if isinstance(facts, list):
        return [approximately(value) for value in facts]
    return pytest.approx(facts, rel=1e-5, abs=2e-6) if isinstance(facts, float) else facts


class Nearly(dict):
    """A dictionary that is compared without regard to the order of its keys, and with that of its values' own."""

    def __eq__(self, other):
        return self.keys() == other.keys() and all(other[key] == value for key, value in self.items())

    __hash__ = None


@st.composite
def groups(draw):
    model = draw(st.sampled_from(["logistic", "softmax", "mlp"]))
    optimizer, momentum = draw(st.sampled_from(OPTIMIZERS))
    recipe = zoo.Recipe(
        optimizer=optimizer,
        momentum=momentum,
        learning_rate=RATES[optimizer],
        batch_size=draw(st.sampled_from([16, 50, 61])),
        schedule=draw(st.sampled_from([None, None, "cosine"])),
        weight_decay=draw(st.sampled_from([None, 0.01])),
        shuffle=draw(st.booleans()),
        drop_remainder=draw(st.booleans()),
        patience=draw(st.sampled_from([None, 1])),
        epochs=3,
    )
    has_dropout = draw(st.booleans())
    seeds = st.integers(0, 2**32 + 5) if draw(st.booleans()) else st.just(draw(st.integers(0, 9)))
    of_member = {
        "learning_rate": st.floats(0.1, 1.0).map(lambda share: share * RATES[optimizer]),
        "l1": st.sampled_from([0.0, 1e-4, 1e-3]),
        "l2": st.sampled_from([0.0, 1e-3, 1e-2]),
        "seed": seeds,
    }
    if recipe.schedule is None:
        of_member["epochs"] = st.integers(1, 4)
    if model == "mlp":
        of_member["dropout"] = st.floats(0.05, 0.8) if has_dropout else st.just(0.0)
    members = draw(st.lists(st.fixed_dictionaries(of_member), min_size=1, max_size=6))
    fixed = (
        {"units": [draw(st.sampled_from([5, 8]))], "num_layers": [draw(st.integers(1, 2))]} if model == "mlp" else {}
    )
    return model, recipe, members, fixed


@pytest.fixture(scope="module")
def two_classes():
    return zoo.load_dataset("digits", limit=420, classes=(3, 2), validation=0.3)


@settings(
    max_examples=3, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate]
)  # shrinking takes minutes
@given(group=groups())
def test_every_member_equals_its_solo_run(digits, two_classes, tmp_path_factory, group):
    model, recipe, members, fixed = group
    setting = setting_for(model, two_classes if model == "logistic" else digits, recipe, **fixed)
    changes = {"epochs": 3} if recipe.schedule is not None else {}
    folders = [tmp_path_factory.mktemp(name) for name in ("together", "alone")]
    together = run_all(setting, members, folders[0], together=True, **changes)
    alone = run_all(setting, members, folders[1], together=False, **changes)
    assert_equal(together, alone, 1e-9)


FEATURES = [
    ("softmax", "adagrad", 0.0, {}, {"l1": 1e-4, "l2": 1e-3}),
    ("mlp", "sgd", 0.0, {"units": [16]}, {"dropout": 0.4, "l2": 1e-4}),
    ("mlp", "adam", 0.0, {"units": [16]}, {"dropout": 0.2, "l1": 1e-5, "l2": 1e-4}),
]


@pytest.mark.parametrize(("model", "optimizer", "momentum", "fixed", "values"), FEATURES)
def test_in_float32_over_100_steps(digits, tmp_path, model, optimizer, momentum, fixed, values):
    """And one that stops early, beside one with another rate and no penalty, and one that diverges."""
    rate, steps = RATES[optimizer], -(-len(digits.train) // 16)
    recipe = zoo.Recipe(
        optimizer=optimizer, momentum=momentum, batch_size=16, learning_rate=rate, epochs=-(-100 // steps)
    )
    setting = setting_for(model, digits, recipe, dtype="float32", **fixed)
    members = [{**values, "learning_rate": rate, "epochs": epochs} for epochs in (recipe.epochs, 2)]
    members += [{**members[0], "l2": 0.0, "learning_rate": rate / 10}, {**members[0], "learning_rate": 1e30}]
    together = run_all(setting, members[:3], tmp_path / "a", together=True)
    with_diverged = TrialRunner(setting).run(tasks_for(setting, members, tmp_path / "b"))
    assert [outcome.status for outcome in with_diverged] == ["completed"] * 3 + ["failed"]
    assert [o.metrics for o in with_diverged[:3]] == [o.metrics for o in together[0]]
    options = {name: value[0] for name, value in fixed.items()} | ({"num_layers": 1} if model == "mlp" else {})
    stock = zoo.build(model, digits.input_shape, digits.num_classes, **options, **values)
    after = []
    kept = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: after.append([v.numpy() for v in stock.weights]))
    run = zoo.train(stock, digits, recipe, callbacks=[kept], verbose=False)
    assert {**together[0][0].metrics, "epochs": recipe.epochs} == pytest.approx(run.metrics, abs=1e-5)
    for member, outcome, state in zip(members[:2], *together, strict=False):
        assert outcome.epochs == member["epochs"]
        row = run.history.iloc[member["epochs"] - 1]
        assert outcome.metrics == pytest.approx({name: row[name] for name in outcome.metrics}, abs=1e-5)
        weights = dict(zip((v.path for v in stock.variables), state.group("model"), strict=True))
        for variable, expected in zip(stock.weights, after[member["epochs"] - 1], strict=True):
            np.testing.assert_allclose(weights[variable.path], expected, rtol=0, atol=1e-5)


# What an optimizer does to a kernel does not depend on its layer; SGD is Nesterov's without a term, Adam AdamW without one.
@pytest.mark.parametrize(
    ("model", "fixed", "optimizer", "momentum"),
    [
        ("softmax", {}, "sgd", 0.9),
        ("mlp", {"units": [7], "num_layers": [1]}, "nesterov", 0.8),
        ("mlp", {"units": [7], "num_layers": [1]}, "adagrad", 0.0),
        ("mlp", {"units": [7], "num_layers": [2]}, "adamw", 0.0),
    ],
)
def test_a_member_is_bitwise_the_same_in_any_group(digits, tmp_path, model, fixed, optimizer, momentum):
    """So it does not matter with whom a resumed search, or another worker, puts it together."""
    recipe = zoo.Recipe(optimizer=optimizer, momentum=momentum, batch_size=19, epochs=2)
    setting = setting_for(model, digits, recipe, dtype="float32", **fixed)
    members = [{"l1": 1e-4, "l2": 1e-3, "learning_rate": 0.001 * (i + 1), "seed": i % 2} for i in range(7)]
    if model == "mlp":
        members = [{**member, "dropout": 0.1 * (i + 1)} for i, member in enumerate(members)]
    runner, results = TrialRunner(setting), {}
    for i, group in enumerate(([0, 1, 2, 3, 4, 5, 6], [3], [5, 3], [3, 1, 5], [6, 4, 2, 0, 1])):
        _, states = run_all(setting, [members[m] for m in group], tmp_path / str(i), together=True, runner=runner)
        for member, state in zip(group, states, strict=True):
            expected = results.setdefault(member, state.arrays)
            different = [name for name, array in state.arrays.items() if (array != expected[name]).any()]
            assert different == [], (group, member)


@pytest.mark.parametrize("folds", [1, 3])
@pytest.mark.parametrize("count", [2, 9])  # in orders of their own, and one program an order
def test_folds_and_repeats(digits, tmp_path, folds, count):
    setting = setting_for("softmax", digits, zoo.Recipe(batch_size=32, epochs=2), folds=folds, repeats=2)
    members = [{"l2": 1e-3, "learning_rate": 0.001 * (i + 1)} for i in range(count)]
    together, _ = run_all(setting, members, tmp_path / "a", together=True)
    alone, _ = run_all(setting, members[-2:], tmp_path / "b", together=False)
    for one, other in zip(together[-2:], alone, strict=True):
        assert one.metrics == pytest.approx(other.metrics, rel=1e-5)
        assert [run["metrics"] for run in one.runs] == [pytest.approx(run["metrics"], rel=1e-5) for run in other.runs]
        assert [(r["fold"], r["repeat"], r["seed"]) for r in one.runs] == [
            (r["fold"], r["repeat"], r["seed"]) for r in other.runs
        ]


def test_against_numpy(digits, tmp_path):
    """Softmax regression with momentum, L1 and L2, written out."""
    recipe = zoo.Recipe(optimizer="sgd", momentum=0.9, batch_size=20, epochs=2, shuffle=False, drop_remainder=True)
    setting = setting_for("softmax", digits, recipe)
    members = [
        {"learning_rate": 0.1, "l1": 1e-3, "l2": 1e-2, "seed": 0},
        {"learning_rate": 0.03, "l2": 1e-1, "seed": 1},
    ]
    _, states = run_all(setting, members, tmp_path, together=True)
    images = digits.train.store.array[digits.train.rows].reshape(len(digits.train), -1).astype(np.float32)
    inputs = (images * np.float32(digits.train.scaling.scale)).astype(np.float64)
    for member, state in zip(members, states, strict=True):
        stock = zoo.build("softmax", digits.input_shape, digits.num_classes, seed=member["seed"], dtype="float64")
        w, b = stock.get_weights()
        dw, db = np.zeros_like(w), np.zeros_like(b)
        rate = float(np.float32(member["learning_rate"]))
        for step in [*range(len(inputs) // 20)] * 2:
            x, y = inputs[20 * step : 20 * step + 20], digits.train.labels[20 * step : 20 * step + 20]
            z = x @ w + b
            p = np.exp(z - z.max(axis=1, keepdims=True))
            p /= p.sum(axis=1, keepdims=True)
            error = (p - np.eye(10)[y]) / 20
            dw = 0.9 * dw - rate * (x.T @ error + member.get("l1", 0.0) * np.sign(w) + 2 * member["l2"] * w)
            db = 0.9 * db - rate * error.sum(axis=0)
            w, b = w + dw, b + db
        np.testing.assert_allclose(state.group("model")[0], w, atol=1e-9)
        np.testing.assert_allclose(state.group("model")[1], b, atol=1e-9)


class Stop(KeyboardInterrupt):
    pass


def test_an_interrupted_group_goes_on(digits, tmp_path, monkeypatch):
    monkeypatch.setattr("zoo.training.state._SAVE_EVERY", 0.0)
    monkeypatch.setattr("zoo.training.state._SHARE", 1e9)
    recipe = zoo.Recipe(batch_size=32, epochs=6, patience=3)
    setting = setting_for("mlp", digits, recipe, dtype="float32", units=[8])
    members = [{"dropout": 0.3, "learning_rate": 0.003 * (i + 1), "epochs": 3 + i} for i in range(4)]
    whole = run_all(setting, members, tmp_path / "whole", together=True)
    tasks = tasks_for(setting, members, tmp_path / "cut")

    def stop(progress):
        if progress.number == 2 and progress.done >= 4:
            raise Stop

    with pytest.raises(Stop):
        TrialRunner(setting).run(tasks, stop)
    resumed = run_all(setting, members, tmp_path / "cut", together=True)
    for one, other in zip(resumed[1], whole[1], strict=True):
        assert all((one.arrays[name] == array).all() for name, array in other.arrays.items())
    assert [o.metrics for o in resumed[0]] == [o.metrics for o in whole[0]]


def test_a_paused_member_goes_on_alone_and_together(digits, tmp_path):
    recipe = zoo.Recipe(optimizer="adam", batch_size=32, epochs=4, schedule="cosine")
    setting = dataclasses.replace(setting_for("mlp", digits, recipe, units=[8]), max_epochs=4)
    members = [{"dropout": 0.3, "learning_rate": 0.003 * (i + 1)} for i in range(3)]
    whole = run_all(setting, members, tmp_path / "whole", together=True, epochs=4)
    for together in (True, False):
        folder = tmp_path / str(together)
        run_all(setting, members, folder, together=not together, epochs=2)
        tasks = tasks_for(setting, members, folder, epochs=4, initial_epoch=2)
        tasks = [dataclasses.replace(task, number=task.number + 10, parent=task.number) for task in tasks]
        runner = TrialRunner(dataclasses.replace(setting, stacked=together))
        outcomes = runner.run(tasks) if together else [o for task in tasks for o in runner.run([task])]
        states = [State.load(state_path(folder, task.number, 0)) for task in tasks]
        for state, expected, outcome in zip(states, whole[1], outcomes, strict=True):
            assert outcome.epochs == 2
            for one, other in zip(state.group("model"), expected.group("model"), strict=True):
                np.testing.assert_allclose(one, other, atol=1e-9)
