"""Optuna's samplers, asked and told."""

from __future__ import annotations

import itertools
import warnings
from typing import TYPE_CHECKING, Any, Unpack

from tuning.oracles import codes
from tuning.oracles.base import CellOracle, OracleOptions
from tuning.oracles.cells import is_active
from zoo.errors import UsageError, ZooError

if TYPE_CHECKING:
    import optuna

SAMPLERS = ("tpe", "gp")
_ATTEMPTS = 10  # suggestions that may be known cells before a random untried cell takes their place
_STARTUP = 10  # random trials before the model of the scores is asked
_MOST = {"tpe": 400, "gp": 300}  # trials that the model is made of
_BEST = 4  # of those that stay when there are more, one in so many is there for its score


class BayesianOracle(CellOracle):
    """Bayesian optimisation by Optuna: a model of the scores says where the next trial gains most.

    "tpe" is the tree-structured Parzen estimator (Bergstra et al., 2011, "Algorithms for hyper-parameter optimization",
    NeurIPS; multivariate: Falkner et al., 2018), which takes milliseconds a trial and conditional parameters as they are.
    "gp" is a Gaussian process with expected improvement, which takes tenths of a second, and fewer trials where there are
    few numerical parameters; it needs torch.

    When to use it: when a trial is dear and runs for all its epochs: tens to a few hundred trials, few at once.

    Cost before it starts: `max_trials` trials, each of all its epochs; the first ten are random. A finite space ends when
    every cell was tried.

    The model is made of at most 400 trials ("gp": 300), since its cost grows with them, that of a Gaussian process with
    their cube: when there are so many, it goes on with half of them, the newest and the best. Optuna's documentation
    recommends TPE for up to 1,000 trials and its Gaussian process for up to 500; TPE itself gives old trials less weight
    (Bergstra et al., 2013, "Making a science of model search"); on a subset of the data see Rasmussen and Williams, 2006,
    "Gaussian processes for machine learning", section 8.3.

    No cell is paid for twice: the study is told the known score and asked again, and after ten such suggestions a random
    untried cell is taken. Which trials there are depends on the order in which they end when several run at once.

    Args:
        objective: as for every oracle.
        sampler: "tpe" or "gp".
        **options: those of `CellOracle`.

    Raises:
        ZooError: Optuna, or what its Gaussian process needs, is not installed.

    Examples:
        >>> keras_tuner.Tuner(oracle=BayesianOracle("val_accuracy", max_trials=50), hypermodel=tuning.space(...))
    """

    def __init__(self, objective: Any = None, *, sampler: str = "tpe", **options: Unpack[OracleOptions]) -> None:
        if sampler not in SAMPLERS:
            raise UsageError(f"sampler must be one of {', '.join(SAMPLERS)}. Received: {sampler!r}")
        check_installed(sampler)
        super().__init__(objective, **options)
        self.sampler = sampler
        # The trial of each of the study's, which has one more for a suggestion that is known.
        self._entries: list[str] = []
        self._untold: list[int] = []  # places in `_entries` that the study waits for
        self._suggestions = 0  # how many entries there ever were
        self._study: optuna.Study | None = None

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """What the study suggests."""
        study = self._told_study()
        for _ in range(_ATTEMPTS):
            study.sampler = self._make_sampler()
            values = self._suggested(study.ask())
            known = self.known_trial(values)
            self._enter(known or trial_id)
            if known is None:
                return {"status": "RUNNING", "values": values}
            self._tell()
        untried = self.untried_values(self.generator(self._suggestions))
        if untried is None:
            return self.stopped_or_idle()
        self._add(untried)
        self._enter(trial_id)
        return {"status": "RUNNING", "values": untried}

    def get_state(self) -> dict[str, Any]:
        """Keras Tuner's state, and the order of the study."""
        return {**super().get_state(), "entries": list(self._entries), "suggestions": self._suggestions}

    def set_state(self, state: dict[str, Any]) -> None:
        """Takes over a saved state; the study is made again from the trials."""
        super().set_state(state)
        self._entries, self._study = list(state["entries"]), None
        self._suggestions = state["suggestions"]

    def _told_study(self) -> optuna.Study:
        """The study, told of every trial that has ended; a smaller one once there are too many."""
        if self._study is None:
            self._study = _make_study()
            self._untold = list(range(len(self._entries)))
            for trial_id in self._entries:
                self._add(self.trials[trial_id].hyperparameters.values)
        self._tell()
        if len(self._entries) >= _MOST[self.sampler]:
            self._forget(self._study)
        return self._study

    def _forget(self, study: optuna.Study) -> None:
        """Goes on with half of the entries: those that run, the best, and the newest."""
        half = _MOST[self.sampler] // 2
        ended = sorted(set(range(len(self._entries))).difference(self._untold), key=self._loss_at)
        kept = {*ended[: half // _BEST], *self._untold}
        newest = (place for place in reversed(range(len(self._entries))) if place not in kept)
        kept.update(itertools.islice(newest, max(0, half - len(kept))))
        places = sorted(kept)
        self._study, told = _make_study(), study.get_trials(deepcopy=False)
        self._study.add_trials([told[place] for place in places])
        self._entries = [self._entries[place] for place in places]
        self._untold = [number for number, place in enumerate(places) if place in self._untold]

    def _loss_at(self, place: int) -> tuple[float, int]:
        return self.loss(self._entries[place]), place

    def _tell(self) -> None:
        from optuna.trial import TrialState

        assert self._study is not None
        for number in [number for number in self._untold if self.has_ended(self._entries[number])]:
            self._untold.remove(number)
            trial_id = self._entries[number]
            if self.trials[trial_id].status == "COMPLETED":
                self._study.tell(number, self.loss(trial_id))
            else:
                self._study.tell(number, state=TrialState.FAIL)

    def _enter(self, trial_id: str) -> None:
        self._untold.append(len(self._entries))
        self._entries.append(trial_id)
        self._suggestions += 1

    def _make_sampler(self) -> optuna.samplers.BaseSampler:
        """A sampler whose chance depends on the seed and the number of suggestions alone: a reloaded search goes on alike."""
        import optuna

        seed = int(self.generator(self._suggestions).integers(2**31))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            if self.sampler == "gp":
                return optuna.samplers.GPSampler(seed=seed, n_startup_trials=_STARTUP)
            conditional = any(parameter.conditions for parameter in self.hyperparameters.space)
            return optuna.samplers.TPESampler(
                seed=seed, n_startup_trials=_STARTUP, multivariate=True, group=conditional, constant_liar=True
            )

    def _suggested(self, asked: optuna.Trial) -> dict[str, Any]:
        """The values that a study's trial suggests, parameter by parameter as their conditions hold."""
        values: dict[str, Any] = {}
        for number, parameter in enumerate(self.hyperparameters.space):
            if parameter.name not in values and is_active(parameter, values):
                values[parameter.name] = codes.suggested(parameter, asked, str(number))
        return values

    def _add(self, values: dict[str, Any]) -> None:
        """Makes the study's next trial one with these values."""
        assert self._study is not None
        active = {
            str(number): parameter
            for number, parameter in enumerate(self.hyperparameters.space)
            if parameter.name in values and is_active(parameter, values)
        }
        self._study.enqueue_trial({name: codes.encoded(p, values[p.name]) for name, p in active.items()})
        asked = self._study.ask()
        for name, parameter in active.items():
            codes.suggested(parameter, asked, name)


def _make_study() -> optuna.Study:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(direction="minimize", sampler=optuna.samplers.RandomSampler(seed=0))


def check_installed(sampler: str) -> None:
    """Raises a ZooError that says what to install, unless the sampler can run."""
    try:
        import optuna  # noqa: F401

        if sampler == "gp":
            import torch  # noqa: F401
    except ImportError as error:
        needed = "'keras-zoo[optuna]' torch" if sampler == "gp" else "'keras-zoo[optuna]'"
        raise ZooError(f"the sampler {sampler!r} needs {error.name}: pip install {needed}") from error
