"""Whether a treatment helps: pairs of trainings with the same seeds, one as it is and one treated, one pair at a time.

To look again after each pair gives chance more than one try. Student's interval is taken at 99 % at each look but
the last, and at 95 % at that: with four looks, at 3 to 6 pairs, a treatment without any effect is confirmed with
a probability below 3 x 0.5 % + 2.5 % = 4 %, for of each interval only the good side counts (Bonferroni).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from fitwell.diagnosing import rules
from fitwell.experiment import Answer, paired
from fitwell.treatment import Outcome, Trial

USEFUL_SHARE = 0.005  # of samples: a smaller gain of accuracy is none
USEFUL_FALL = 0.01  # of a loss: the same
SIGNS = 5  # pairs of which all are better: by chance in 1 of 32 (sign test)
NOT_FINITE, NO_STEP = "loss-not-finite", "optimizer-never-steps"
LEARNS_NOTHING = ("broken", "not-converging")
MEASURES = (("accuracy", True), ("loss", False))

Metric = tuple[str, bool]
Training = Callable[[int], Outcome]
_Said = tuple[Answer | None, str]  # None: more pairs are needed


def verify(
    control: Training,
    treated: Training,
    *,
    seeds: int = 3,
    first: int = 1,
    most: int = 6,
    metric: Metric | None = None,
) -> Trial:
    """Train in pairs until it is clear whether the treatment helps.

    Confirmed: the metric is better and the interval of the difference excludes zero, or the training fails with every
    seed as it is and with none treated; and most treated trainings have no new error, bug, or, if the metric is of
    training data, warning. Refuted: nothing is gained, or the treated training fails where the other does not. A
    training that fails counts as the worst.

    Args:
        control: trains as it is, with a seed.
        treated: the same with the treatment.
        seeds: pairs before the first look.
        first: seed; the others follow it.
        most: pairs.
        metric: its name and whether more of it is better; by default what ``choose_metric`` finds in the pairs.
    """
    most = max(most, seeds)
    pairs = _Pairs((), metric)
    for seed in range(first, first + most):
        pairs = _Pairs((*pairs.outcomes, (control(seed), treated(seed))), metric)
        if len(pairs.outcomes) >= seeds:
            answer, because = pairs.judged(last=len(pairs.outcomes) == most)
            if answer is not None:
                return pairs.trial(answer, because)
    raise ValueError(f"at least one pair is needed, not {most}")


def choose_metric(outcomes: Iterable[Outcome]) -> Metric | None:
    """By what trainings are compared: validation before other held-out data, accuracy before loss; else training loss.

    Args:
        outcomes: of all arms; those that failed are asked only if there is no other.

    Returns:
        A metric that all of them have and whether more of it is better; None if there is none.
    """
    all_of_them = list(outcomes)
    asked = [outcome for outcome in all_of_them if not is_broken(outcome)] or all_of_them
    names = set[str].intersection(*(set(outcome.metrics) for outcome in asked)) if asked else set[str]()
    parts = {name.partition("/")[0] for name in names}
    for part in ["val", *sorted(parts - {"val", "train"}), "train"]:
        # The loss of all steps is known; answers are counted where they are looked at, which is mostly early.
        for measure, higher in MEASURES if part != "train" else reversed(MEASURES):
            if f"{part}/{measure}" in names:
                return f"{part}/{measure}", higher
    return None


def value(outcome: Outcome, name: str) -> float | None:
    """The metric of a training; None if the training failed, or it is not finite."""
    found = outcome.metrics.get(name)
    return None if is_broken(outcome) or found is None or not math.isfinite(found) else found


def is_broken(outcome: Outcome) -> bool:
    """Whether nothing can be worse: the training failed, its loss was not finite, or nothing was trained at all."""
    idle = NO_STEP in outcome.findings and not outcome.metrics
    return outcome.failed is not None or NOT_FINITE in outcome.findings or idle


def gain(control: float | None, treated: float | None, higher: bool) -> float:
    """How much better the second is, above zero; of positive losses in logarithms, for they differ by factors.

    A training that failed is infinitely worse than one that did not.
    """
    if control is None or treated is None:
        return 0.0 if control is treated else math.inf if control is None else -math.inf
    if not higher and control > 0 and treated > 0:
        return math.log(control / treated)
    return treated - control if higher else control - treated


def useful(name: str, controls: Sequence[float]) -> float:
    """The least gain that counts."""
    if not name.endswith("/loss"):
        return USEFUL_SHARE
    return USEFUL_FALL * (1.0 if min(controls) > 0 else abs(fmean(controls)))


@dataclass(frozen=True)
class _Pairs:
    """Outcomes of the same seeds, as it is and treated."""

    outcomes: tuple[tuple[Outcome, Outcome], ...]
    wanted: Metric | None

    @property
    def metric(self) -> Metric:
        return self.wanted or choose_metric(each for pair in self.outcomes for each in pair) or ("", True)

    @property
    def values(self) -> list[tuple[float | None, float | None]]:
        """With no metric at all, whether a training ended well is all that counts."""
        name, _ = self.metric
        if name:
            return [(value(control, name), value(treated, name)) for control, treated in self.outcomes]
        ends = [[None if each.failed else 0.0 for each in pair] for pair in self.outcomes]
        return [(control, treated) for control, treated in ends]

    def trial(self, answer: Answer, because: str) -> Trial:
        name, higher = self.metric
        finite = [(c, t) for c, t in self.values if c is not None and t is not None]
        return Trial(
            answer=answer,
            because=because,
            metric=name,
            higher=higher,
            seeds=tuple(control.seed for control, _ in self.outcomes),
            control=tuple(c for c, _ in self.values),
            treated=tuple(t for _, t in self.values),
            difference=paired([t - c for c, t in finite]) if len(finite) > 1 and name else None,
            runs=tuple(pair[arm].run for arm in (0, 1) for pair in self.outcomes),
        )

    def judged(self, last: bool) -> _Said:
        """What the pairs say so far."""
        count = len(self.values)
        controls_failed = sum(c is None for c, _ in self.values)
        worse = sum(t is None and c is not None for c, t in self.values)
        if worse:
            return (
                "refuted",
                f"with it the training fails in {worse} of {count} pairs where it does not as it is",
            )
        if all(t is None for _, t in self.values):
            return "refuted", f"the training fails with it, too, in all of {count} pairs"
        if controls_failed == count and all(t is not None for _, t in self.values):
            return self._learning(f"as it is the training fails in all of {count} pairs, with it in none")
        said = self._by_difference(last)
        return self._without_harm(said) if said[0] == "confirmed" else said

    def _learning(self, said: str) -> _Said:
        """Whatever does not fail is better than what does; but a training that learns nothing is not mended."""
        idle = [treated.verdict for _, treated in self.outcomes if treated.verdict in LEARNS_NOTHING]
        if 2 * len(idle) > len(self.outcomes):
            return "inconclusive", f"{said}; but it learns nothing: {idle[0]}"
        return "confirmed", said

    def _by_difference(self, last: bool) -> _Said:
        name, higher = self.metric
        finite = [(c, t) for c, t in self.values if c is not None and t is not None]
        if not name or not finite:
            return ("inconclusive", "there is no metric to compare by") if last or not name else (None, "")
        gains = [gain(c, t, higher) for c, t in finite]
        if not any(gains) and len(gains) == len(self.values):
            return "refuted", f"it changes nothing: {name} is the same in all of {len(gains)} pairs"
        told = self._told([gain(c, t, higher) for c, t in self.values])
        if self._is_better(gains, last):
            return "confirmed", told
        wide = paired(gains, 0.95)
        if len(gains) == len(self.values) and wide.high < useful(name, [c for c, _ in finite]):
            return "refuted", told
        hopeless = len(gains) == len(self.values) and wide.mean <= 0  # to stop here can't confirm anything
        return ("inconclusive", f"it is not clear: {told}") if last or hopeless else (None, "")

    def _is_better(self, gains: Sequence[float], last: bool) -> bool:
        """By Student's interval; where a training failed, or all gains are the same, by their signs."""
        if len(gains) < len(self.values):
            better = sum(gain(c, t, self.metric[1]) > 0 for c, t in self.values)
            return better == len(self.values) >= SIGNS
        if not _same(gains):
            return paired(gains, 0.95 if last else 0.99).low > 0
        # Two arms that each give one value with every seed have no noise: by chance they would differ so in 1 of 64.
        quiet = all(_same([pair[arm] or 0.0 for pair in self.values]) for arm in (0, 1))
        return gains[0] > 0 and len(gains) >= (3 if quiet else SIGNS)

    def _told(self, gains: Sequence[float]) -> str:
        name, higher = self.metric
        better, worse = sum(each > 0 for each in gains), sum(each < 0 for each in gains)
        word = "higher" if higher else "lower"
        other = "lower" if higher else "higher"
        means = [
            fmean(c for c in arm if c is not None)
            for arm in zip(*self.values, strict=True)
            if any(c is not None for c in arm)
        ]
        shown = " and as it is ".join(f"{mean:.4g}" for mean in reversed(means))
        counted = f"{word} in {better} of {len(gains)} pairs" + (f" and {other} in {worse}" if worse else "")
        return f"{name} is {counted}; on average with it {shown}"

    def _without_harm(self, said: _Said) -> _Said:
        """What is better and brings a new fault is no cure; what it only left to be improved is told."""
        known = {name for control, _ in self.outcomes for name in control.findings}
        found = [name for _, treated in self.outcomes for name in set(treated.findings) - known]
        new = [name for name in sorted(set(found)) if 2 * found.count(name) > len(self.outcomes)]
        held_out = not self.metric[0].startswith("train/")
        faults = [name for name in new if not (held_out and _is_seen_in_metric(name))]
        if faults:
            return "inconclusive", f"{said[1]}; but there is something new: {', '.join(faults)}"
        return (said[0], f"{said[1]}; what is left: {', '.join(new)}") if new else said


def _is_seen_in_metric(name: str) -> bool:
    """Whether all the harm of a finding is in the figure on held-out data, as that of a rate that is too low.

    A bug may falsify that figure, and an error is wrong whatever it says.
    """
    rule = rules().get(name)
    return rule is not None and (rule.kind, rule.severity) == ("cause", "warning")


def _same(values: Sequence[float]) -> bool:
    return max(values) - min(values) <= 1e-9 * max(map(abs, values), default=0.0)
