"""Treat a run of fitwell's own: other plans, each screened by one training, the best verified on fresh seeds."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from fitwell.diagnosing import diagnose
from fitwell.errors import DataError, PlanError, RunError
from fitwell.experiment import Answer
from fitwell.patch import diff
from fitwell.plan import Plan
from fitwell.remedy import About, Remedy
from fitwell.run import Run
from fitwell.run.files import write_atomic, write_json
from fitwell.training.observer import Observer
from fitwell.treating.candidates import Candidate, candidates, confirms, known_remedy, remedies
from fitwell.treating.children import ANY_NUMBER, Children, Fit, validation_metric
from fitwell.treating.verify import gain, useful, value, verify
from fitwell.treatment import FILE, TREATED_PLAN, TRIALS, Outcome, Treatment, Tried

MOST_SCREENED = 6
MOST_VERIFIED = 2
MOST_PAIRS = 6  # of trainings that verify one remedy
MOST_ROUNDS = 3
Say = Callable[[str], None]


@dataclass(frozen=True)
class _Option:
    """A remedy in a dose, and the plan with it."""

    candidate: Candidate
    remedy: Remedy
    plan: Plan

    def tried(self, screened: float | None, because: str) -> Tried:
        """What is written of it when it was screened."""
        finding = self.candidate.finding.name
        dose = dict(self.candidate.dose)
        return Tried(self.candidate.remedy, dose, self.candidate.says, "plan", finding, screened, because)


def treat_plan(
    run: Run,
    *,
    fit: Fit,
    data: Any = None,
    remedy: str | None = None,
    seeds: int = 3,
    seconds: float | None = None,
    say: Say = lambda _text: None,
) -> Treatment:
    """Find a plan that trains better than that of a run, and prove it.

    Trainings are compared by the validation part; the test part decides nothing. What came of it is written into the
    run's folder as ``treatment.json`` and, if a remedy is confirmed, the plan with it as ``treated_plan.json``.

    Args:
        run: of fitwell's own, finished or failed.
        fit: ``fitwell.fit``.
        data: the same data again, if it lived in memory.
        remedy: the only one to try.
        seeds: on which the best is verified, at least.
        seconds: after which no further training begins, as far as that can be foreseen.
        say: is told of every training.

    Raises:
        DataError: the data is not there, or not what it was.
        RunError: the run has not ended.
        PlanError: no remedy has this name.
    """
    began = time.monotonic()
    plan = run.plan if data is None else run.plan.change(source=data)
    only = None if remedy is None else known_remedy(remedy)
    _check(run, plan)
    (run.path / TREATED_PLAN).unlink(missing_ok=True)
    until = began + (math.inf if seconds is None else seconds)
    children = Children(run, fit, run.path / TRIALS, until)
    options = _options(run, plan, only)
    reason = _why_not(run, options, only)
    made = Treatment(str(run.path), "inconclusive", reason)
    if not reason:
        made = _treated(children, plan, options, seeds, say)
    spent = round(time.monotonic() - began, 3)
    made = replace(
        made, metric=children.metric, control=children.control, seconds=spent, confirms=confirms(made)
    )
    write_json(run.path / FILE, made.plain())
    return made


def treat_again(
    run: Run,
    *,
    fit: Fit,
    runs: str | Path | None,
    observe: Callable[[], Observer],
    tell: Callable[[Treatment], None],
) -> Run:
    """Treat a run, train the plan that was confirmed, treat that: until one fits, or nothing confirmed helps.

    Args:
        run: the first, of data that is not in memory.
        fit: ``fitwell.fit``.
        runs: the folder of the runs that are kept.
        observe: makes what is shown the progress of one of them.
        tell: is told what came of each treatment.

    Returns:
        The last treated run; the first if nothing helped.
    """
    first = run.name
    for _ in range(MOST_ROUNDS):
        if diagnose(run).verdict.name == "just-right":
            break
        observer = observe()
        found = treat_plan(run, fit=fit, say=observer.say)
        tell(found)
        if found.answer != "confirmed":
            break
        plan = Plan.from_json((run.path / TREATED_PLAN).read_text())
        run = fit(plan, runs=runs, observer=observer, parent=first)
    return run


def _check(run: Run, plan: Plan) -> None:
    if run.state not in ("done", "failed"):
        fix = f"`fitwell resume {run.name}` trains it to its end"
        raise RunError(f"run {run.name} is {run.state}", "a run that has ended", fix)
    if plan.data.source == "memory":
        what = f"the data of run {run.name} lived in memory"
        raise DataError(what, "the very same data again", "treat it from Python, with data=")


def _options(run: Run, plan: Plan, only: str | None) -> list[_Option]:
    """Other plans for the findings of a run, in the order in which they are worth a try.

    None that takes other data, for its figures could not be compared with those of the run.
    """
    found: list[_Option] = []
    for candidate in candidates(run, diagnose(run), ANY_NUMBER, only):
        changed = _changed(plan, candidate)
        known = [plan, *(option.plan for option in found)]
        if changed is not None and changed not in known and changed.data == plan.data:
            found.append(_Option(candidate, remedies()[candidate.remedy], changed))
    return found[:MOST_SCREENED]


def _changed(plan: Plan, candidate: Candidate) -> Plan | None:
    remedy = remedies()[candidate.remedy]
    try:
        about = About(candidate.finding.name, candidate.view, dose=candidate.dose)
        return remedy.plan(plan, about) if remedy.plan else None
    except PlanError:  # a value that the plan can't take
        return None


def _why_not(run: Run, options: list[_Option], only: str | None) -> str:
    """Why nothing can be tried; empty if something can."""
    if run.state == "done" and not validation_metric(run):
        return "there is no validation part to compare trainings by: train with --validation 0.15"
    if options:
        return ""
    diagnosis = diagnose(run)
    names = ", ".join(finding.name for finding in diagnosis.findings)
    if not names:
        verdict = f"{diagnosis.verdict.name.replace('-', ' ')}: {diagnosis.verdict.reason}"
        return f"nothing was found that is to be mended; {verdict}"
    what = "there is no other plan to try" if only is None else f"{only} gives no other plan"
    return f"{what} for what was found: {names}"


def _treated(children: Children, plan: Plan, options: list[_Option], seeds: int, say: Say) -> Treatment:
    """Screen the options, verify the best ones until one is confirmed."""
    _announce(children, options, seeds, say)
    tried = _screened(children, options, say)
    promising = _best_first(children, tried)[:MOST_VERIFIED]
    if not promising:
        answer: Answer = "refuted" if len(tried) == len(options) else "inconclusive"
        return Treatment(str(children.run.path), answer, _none_helped(tried, options), tried=tuple(tried))
    control = cache(_arm(children, plan, "as it is", say))
    for place in promising:
        pairs = min(max(seeds, MOST_PAIRS), children.affordable() // 2)
        if pairs < seeds:
            break
        say(f"verifying: {tried[place].says}")
        arm = _arm(children, options[place].plan, "treated", say)
        metric = children.metric, children.higher
        first = (plan.seed + 1) % (2**32 - pairs)  # seeds that chose nothing
        trial = verify(control, arm, seeds=seeds, first=first, most=pairs, metric=metric)
        tried[place] = replace(tried[place], trial=trial)
        if trial.answer == "confirmed":
            made = Treatment(str(children.run.path), "confirmed", trial.because, tried=tuple(tried))
            return _cured(made, plan, options[place], tried[place])
    return _unproved(str(children.run.path), tried, tried[promising[0]])


def _announce(children: Children, options: list[_Option], seeds: int, say: Say) -> None:
    """How many trainings it may take, before the first."""
    names = ", ".join(dict.fromkeys(option.candidate.finding.name for option in options))
    most = (1 + min(MOST_VERIFIED, len(options))) * max(seeds, MOST_PAIRS)
    count = f"{len(options)} training{'s' * (len(options) > 1)} to try remedies"
    each = (children.run.info.get("result") or {}).get("seconds")
    time_of_each = f", about {each:.1f} s each" if each else ""
    say(f"treating {names}: {count}, then {2 * seeds} to {most} to verify the best{time_of_each}")


def _best_first(children: Children, tried: list[Tried]) -> list[int]:
    """The places of what did better than the run in one training."""
    sign = 1 if children.higher else -1
    least = useful(children.metric, [1.0 if children.control is None else children.control])
    better = [
        (sign * each.screened, -place)
        for place, each in enumerate(tried)
        if each.screened is not None and gain(children.control, each.screened, children.higher) > least
    ]
    return [-place for _, place in sorted(better, reverse=True)]


def _unproved(folder: str, tried: list[Tried], best: Tried) -> Treatment:
    """Better in one training, but not confirmed."""
    if best.trial is None:
        reason = f"there was no time to verify {best.remedy}, which was best in one training"
        return Treatment(folder, "inconclusive", reason, tried=tuple(tried))
    trials = [each.trial for each in tried if each.trial]
    unclear = next((trial for trial in trials if trial.answer == "inconclusive"), None)
    told = unclear or best.trial
    return Treatment(folder, told.answer, told.because, tried=tuple(tried))


def _screened(children: Children, options: list[_Option], say: Say) -> list[Tried]:
    """One training with each remedy, with the seed of the run; as many as there is time for."""
    tried: list[Tried] = []
    for option in options:
        if not children.affordable():
            break
        outcome = children.outcome(option.plan)
        figure = value(outcome, children.metric)
        tried.append(option.tried(figure, outcome.failed or outcome.verdict.replace("-", " ")))
        say(f"tried: {option.candidate.says}: {_figure(children, outcome)}")
    return tried


def _figure(children: Children, outcome: Outcome) -> str:
    figure = value(outcome, children.metric)
    return outcome.failed or ("no figure" if figure is None else f"{children.metric} {figure:.4g}")


def _none_helped(tried: list[Tried], options: list[_Option]) -> str:
    if len(tried) < len(options):
        return f"there was time for {len(tried)} of {len(options)} remedies only, and none of them did better"
    return "nothing that was tried helps"


def _arm(children: Children, plan: Plan, name: str, say: Say) -> Callable[[int], Outcome]:
    """Trains a plan with another seed: of the weights, of the order, and of the division of the data."""

    def train(seed: int) -> Outcome:
        outcome = children.outcome(plan.change(seed=seed))
        say(f"seed {seed}, {name}: {_figure(children, outcome)}")
        return outcome

    return train


def _cured(made: Treatment, plan: Plan, option: _Option, cure: Tried) -> Treatment:
    """The treatment with the plan that it recommends, which is kept beside it."""
    text = option.plan.to_json()
    write_atomic(Path(made.run) / TREATED_PLAN, text.encode())
    changes = diff(plan.to_json() + "\n", text + "\n", "plan.json")
    remedy = option.remedy
    return replace(made, cure=cure, diff=changes, costs=remedy.costs, not_when=remedy.not_when)
