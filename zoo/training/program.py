"""`Program`: a model compiled and traced for one kind of recipe, which trains again and again without being traced anew."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import zoo.startup  # noqa: F401  (before Keras)

import keras
import numpy as np
import tensorflow as tf

from zoo.data.split import Split
from zoo.data.splits import DataSplits
from zoo.errors import ZooError
from zoo.features.cutting import split_frozen
from zoo.features.extraction import OnProgress, extract_features
from zoo.training.compiling import compile_model, make_accuracy, set_trainable
from zoo.training.epochs import Epochs, GraphEpochs, StreamEpochs
from zoo.training.live import LiveValues, unscaled
from zoo.training.recipe import Recipe
from zoo.training.recorder import StepRecorder, recording
from zoo.training.validation import StepValidations, Validator

_STEPS_PER_EXECUTION = 32  # gradient steps a graph call on streamed data; beyond it nothing was gained
_VALIDATION_BATCH = 512


class Program:
    """A model with its optimizer, its epochs and its validator; a context manager that gives the model back to plain Keras.

    Args:
        model: a Keras model; it is compiled as the recipe says.
        data: `train` is fitted, `validation` measured. Others of the same store can take their place, see `start`.
        recipe: how to train.
        live: the values that the model reads at run time, where it is used for more than one training.
        one_by_one: whether a call of `fit`'s train function is one gradient step, for callbacks that want batches.
        keeps_features: whether what lies before all that learns is computed once for each example, where that can be.
        on_features: told how far that is.

    Attributes:
        model: the model.
        learner: the part of it that learns; it has its weights.
        data: what is trained on: what was given, or the features that the frozen part makes of it.
        epochs: what makes the gradient steps.
        recorder: keeps the losses of gradient steps.
        validator: measures on validation data, or `None` without them.
        in_graph: whether epochs run inside the graph; else the data are streamed, or several devices compute.
    """

    def __init__(
        self,
        model: keras.Model,
        data: DataSplits,
        recipe: Recipe,
        *,
        live: LiveValues | None = None,
        one_by_one: bool = False,
        keeps_features: bool = False,
        on_features: OnProgress | None = None,
    ) -> None:
        self.model, self.one_by_one, self._live = model, one_by_one, live
        set_trainable(model, recipe.trainable)
        draws = recipe.augment_draws or 1
        self._computed, self.learner, self.data, recipe = _cut(model, data, recipe, keeps_features, on_features)
        split, validation = self.data.train, self.data.validation
        self.in_graph = runs_in_graph(model, split)
        steps = split.num_batches(recipe.batch_size, drop_remainder=recipe.drop_remainder)
        by_call = self.in_graph or one_by_one or recipe.validate_every_steps is not None or _is_distributed(model)
        _compile(
            model,
            self._computed,
            recipe if live is None else unscaled(recipe),
            steps_per_epoch=steps,
            steps_per_execution=1 if by_call else min(steps, _STEPS_PER_EXECUTION),
        )
        examples = len(split) + (len(validation) if validation else 0)  # folds of one store may differ by a step
        self.recorder = StepRecorder(-(-examples // recipe.batch_size), model.distribute_strategy)
        self.validator: Validator | None = None
        if validation:
            accuracy = make_accuracy(model.loss)
            self.validator = Validator(self._computed, validation, model.loss, accuracy, _VALIDATION_BATCH)
        self._stack = contextlib.ExitStack()
        self._stack.enter_context(recording(self._computed, self.recorder))
        self._stack.enter_context(_fitted_through(model, self._computed))
        self.epochs: Epochs = (
            GraphEpochs(self._computed, split, recipe, one_by_one=one_by_one, draws=draws, fitted=model)
            if self.in_graph
            else StreamEpochs(self._computed, split, recipe)
        )
        if live is not None:
            live.read_by_model(model)
            live.read_by_optimizer(model.optimizer, recipe)
            self._fresh = [np.asarray(v.numpy()) for v in model.optimizer.variables]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Gives the model back to plain Keras."""
        self._stack.close()

    @property
    def metrics_variables(self) -> list[keras.Variable]:
        """What the measures of an epoch that has begun are in."""
        return list(self._computed.metrics_variables)

    @property
    def traces(self) -> int:
        """How often the gradient step was traced; 0 where Keras traces it."""
        return self.epochs.traces if isinstance(self.epochs, GraphEpochs) else 0

    def start(
        self,
        data: DataSplits,
        recipe: Recipe,
        *,
        first_pass: int = 0,
        validations: StepValidations | None = None,
        on_progress: OnProgress | None = None,
    ) -> int:
        """Makes ready for `fit`, with the order and the dropout that the recipe's seed decides.

        Args:
            data: the examples; those in memory belong to the store that the program was made with.
            recipe: of the same structure as the program's.
            first_pass: passes over the data that were made before.
            validations: validates after certain steps; `None` where that is left to the end of epochs.
            on_progress: called with (steps done, steps of the epoch) between graph calls.

        Returns:
            The gradient steps of an epoch.
        """
        self.epochs.start(data.train, recipe.seed, epoch=first_pass, validations=validations, on_progress=on_progress)
        if self.validator is not None and data.validation is not None:
            self.validator.use(data.validation)
        self.recorder.take()
        seed_generators(self.learner, recipe.seed)
        return data.train.num_batches(recipe.batch_size, drop_remainder=recipe.drop_remainder)

    def reset(self, weights: Sequence[np.ndarray], options: Mapping[str, Any], recipe: Recipe) -> None:
        """Makes the model a new one in place: initial weights, live values, an optimizer that has seen nothing."""
        assert self._live is not None
        self._live.set(options, recipe)
        self.model.set_weights(weights)
        for variable, value in zip(self.model.optimizer.variables, self._fresh, strict=True):
            variable.assign(value)

    def fit(self, callbacks: Sequence[keras.callbacks.Callback], *, first_epoch: int, epochs: int) -> None:
        """Keras's `fit` from `first_epoch` to `epochs`, counted from 0."""
        self.model.train_function = self.epochs
        self.model.fit(
            self.epochs.batches,
            initial_epoch=first_epoch,
            epochs=epochs,
            steps_per_epoch=self.epochs.calls,
            callbacks=list(callbacks),
            shuffle=False,  # the batches come shuffled
            verbose=0,
        )


def _cut(
    model: keras.Model, data: DataSplits, recipe: Recipe, keeps_features: bool, on_features: OnProgress | None
) -> tuple[keras.Model, keras.Model, DataSplits, Recipe]:
    """What makes the gradient steps, the part of it that learns, what it is trained on, and the recipe for that.

    Raises:
        ZooError: `augment_draws` without features.
    """
    parts = split_frozen(model) if _has_stock_steps(model) and _is_keras_own(model) else None
    features, draws = None, recipe.augment_draws
    if parts is not None and keeps_features and (draws or not recipe.augment):
        features = extract_features(
            parts.frozen, data, augment=recipe.augment, draws=draws or 1, seed=recipe.seed, on_progress=on_features
        )
    if draws and features is None:
        raise ZooError(
            "augment_draws keeps features of what is frozen, and there is nothing frozen or no room for them; "
            "leave augment_draws out, or freeze a part, e.g. trainable='head'"
        )
    if parts is None:
        return model, model, data, recipe
    if features is None:
        return parts.whole, parts.learning, data, recipe
    return parts.learning, parts.learning, features, recipe.without_augmentation()


def _compile(
    model: keras.Model, computed: keras.Model, recipe: Recipe, *, steps_per_epoch: int, steps_per_execution: int
) -> None:
    """Compiles a model, and what makes its steps with the same optimizer and loss."""
    with model.distribute_strategy.scope():  # where optimizer and metrics have their variables
        compile_model(model, recipe, steps_per_epoch=steps_per_epoch, steps_per_execution=steps_per_execution)
    if computed is not model:
        computed.compile(
            optimizer=model.optimizer,
            loss=model.loss,
            metrics=[make_accuracy(model.loss)],
            jit_compile=False,
            steps_per_execution=steps_per_execution,
        )


@contextlib.contextmanager
def _fitted_through(model: keras.Model, computed: keras.Model) -> Iterator[None]:
    """While inside, `model.fit` shows the measures of `computed`, whose steps are made in its place."""
    if computed is model:
        yield
        return

    def exchange() -> None:
        model.get_metrics_result, model.reset_metrics = computed.get_metrics_result, computed.reset_metrics

    def measuring(name: str) -> Callable[..., Any]:
        """A method for a user's callback, which measures the whole model."""

        def method(*args: Any, **kwargs: Any) -> Any:
            del model.get_metrics_result, model.reset_metrics  # the methods of the class are back
            try:
                return getattr(type(model), name)(model, *args, **kwargs)
            finally:
                exchange()

        return method

    exchange()
    model.evaluate, model.test_on_batch = measuring("evaluate"), measuring("test_on_batch")
    try:
        yield
    finally:
        del model.get_metrics_result, model.reset_metrics, model.evaluate, model.test_on_batch
        model.train_function = None


def runs_in_graph(model: keras.Model, split: Split) -> bool:
    """Whether the loop over gradient steps can run inside the graph."""
    return model.built and split.store is not None and _has_stock_steps(model)


def _has_stock_steps(model: keras.Model) -> bool:
    """Whether a model makes its steps as Keras does, on one device."""
    return type(model).train_step is keras.Model.train_step and not _is_distributed(model)


def _is_keras_own(model: keras.Model) -> bool:
    """Whether a model is its layers and nothing else, and not of a class with a `call` or a `compute_loss` of its own."""
    return type(model).__module__.startswith("keras.")


def generator_states(model: keras.Model, seed: int) -> list[tuple[keras.Variable, list[int]]]:
    """The state of every seed generator (dropout), and what it is set to: the seed and its place in the model decide."""
    generators = [getattr(layer, "seed_generator", None) for layer in model._flatten_layers()]
    states = [generator.state for generator in generators if generator is not None]
    return [(state, [seed % 2**32, place]) for place, state in enumerate(states)]


def seed_generators(model: keras.Model, seed: int) -> None:
    """Sets every seed generator to its state for a seed."""
    for state, value in generator_states(model, seed):
        state.assign(value)


def _is_distributed(model: keras.Model) -> bool:
    """Whether the model was built under a `tf.distribute` strategy; such a one takes no loop of steps in a graph."""
    with model.distribute_strategy.scope():
        return bool(tf.distribute.has_strategy())
