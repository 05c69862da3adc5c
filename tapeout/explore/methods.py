"""How a study's points are chosen: a grid, draws, or a search that learns from what came back.

A method is a generator of rounds: it yields assignments, and is sent their outcomes in that order once all are there.
What it asks depends on the study and on the outcomes alone, never on how many workers there are or which is faster: a
study that goes on after a stop asks the same again and finds it in the store.
"""

import warnings
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import islice
from typing import Any

from sim.errors import InputError
from tapeout.explore.space import Assignment, Axis, Values, shares
from tapeout.explore.study import Plan

ROUND = 10
"""Points that a learning method asks before it is told: few, since it learns between rounds; enough for two workers."""
STUBBORN = 20
"""Times the budget after which a method that only repeats itself has nothing new to ask."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Objectives to minimise, and by how much the constraints are missed in all; None where there are no figures.

    Only outcomes of one group are compared.
    """

    values: tuple[float, ...]
    missed: float
    group: tuple[str, ...] = ()


Rounds = Generator[Iterable[Assignment], Sequence[Outcome | None] | None, None]


def rounds(plan: Plan) -> Rounds:
    """The method that the study names."""
    study, space = plan.study, plan.space
    if study.method == "grid":
        yield space.grid()
    elif study.method in ("random", "sobol"):
        drawn = space.drawn(shares(study.method, len(space.axes), study.budget or 0, study.seed))
        yield sorted(islice(drawn, study.budget), key=space.order)
    else:
        yield from learning(plan)


def learning(plan: Plan) -> Rounds:
    """Optuna's samplers: multi-objective TPE, NSGA-II, Gaussian processes. The budget counts different points."""
    import optuna

    study, space, budget = plan.study, plan.space, plan.study.budget or 0
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # experimental features, said once per option
        search = optuna.create_study(directions=["minimize"] * len(study.objectives), sampler=_sampler(plan))
        asked: set[str] = set()
        trials = 0
        while len(asked) < budget and trials < STUBBORN * budget:
            batch: list[tuple[Any, Assignment]] = []
            for _ in range(ROUND):
                trial = search.ask()
                chosen = space.walk(lambda axis, trial=trial: _suggested(trial, axis))  # type: ignore[misc]
                if len(asked | {_said(chosen)}) > budget:
                    search.tell(trial, state=optuna.trial.TrialState.FAIL)
                    break
                asked.add(_said(chosen))
                batch.append((trial, chosen))
            trials += ROUND
            outcomes = (yield [chosen for _, chosen in batch]) or ()
            for (trial, _), outcome in zip(batch, outcomes, strict=True):
                if outcome is None:
                    search.tell(trial, state=optuna.trial.TrialState.FAIL)
                else:
                    trial.set_user_attr("missed", outcome.missed)
                    search.tell(trial, list(outcome.values))


def _said(chosen: Assignment) -> str:
    return repr(sorted(chosen.items()))


def _sampler(plan: Plan) -> Any:
    from optuna import samplers

    study = plan.study
    bound: Callable[[Any], Sequence[float]] | None = None
    if study.constraints:

        def bound(trial: Any) -> Sequence[float]:
            return (trial.user_attrs.get("missed", float("inf")),)

    first = max(ROUND, (study.budget or 0) // 8)
    match study.method:
        case "tpe":
            return samplers.TPESampler(
                seed=study.seed, n_startup_trials=first, multivariate=True, group=True, constant_liar=True,
                constraints_func=bound,
            )  # fmt: skip
        case "nsga2":
            return samplers.NSGAIISampler(seed=study.seed, population_size=2 * ROUND, constraints_func=bound)
    try:
        import_module("torch")
    except ImportError:
        raise InputError("gp needs torch; allowed: tpe, nsga2", where=plan.source, setting="method") from None
    return samplers.GPSampler(seed=study.seed, n_startup_trials=first, constraints_func=bound)


def _suggested(trial: Any, axis: Axis) -> Any:
    """A value of the axis as the sampler likes it: numbers in their order, texts as they come."""
    domain = axis.domain
    if isinstance(domain, Values) or domain.steps:
        values = domain.all()
        if all(isinstance(value, int | float) for value in values):
            return sorted(values)[trial.suggest_int(axis.name, 0, len(values) - 1)]
        return values[trial.suggest_categorical(axis.name, list(range(len(values))))]
    if domain.whole:
        return trial.suggest_int(axis.name, domain.low, domain.high, log=domain.log)
    return domain.at(trial.suggest_float(axis.name, 0.0, 1.0))
