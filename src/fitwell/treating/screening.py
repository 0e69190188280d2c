"""What came of one training with a remedy, beside the training as it is."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from fitwell.experiment import Settings
from fitwell.run import Run
from fitwell.treating.candidates import Candidate
from fitwell.treating.reruns.changed import Changed
from fitwell.treating.verify import USEFUL_SHARE, Metric, choose_metric, gain, is_broken, useful, value
from fitwell.treatment import How, Outcome, Tried


@dataclass(frozen=True)
class Screened:
    """A remedy after one training.

    Args:
        candidate: the remedy and its finding.
        changed: the program with it.
        outcome: of the training.
        tried: what is told of it.
        metric: by which it is compared.
        gain: above that of the training as it is.
        least: gain that counts.
        mends: whether a proved bug is gone.
        on: the remedies that it is put on, if they were not verified on their own.
    """

    candidate: Candidate
    changed: Changed
    outcome: Outcome
    tried: Tried
    metric: Metric | None
    gain: float
    least: float
    mends: bool
    on: tuple[Candidate, ...] = ()

    @property
    def promises(self) -> bool:
        """Whether it is worth to be verified."""
        return self.gain > self.least or (self.mends and self.gain >= -self.least)

    @property
    def good(self) -> float:
        """How good it is beside other doses of the remedy; minus infinity if it failed."""
        if is_broken(self.outcome) or (self.metric and self.tried.screened is None):
            return -math.inf
        if math.isfinite(self.gain) or not self.metric:
            return self.gain
        return gain(1.0, self.tried.screened, self.metric[1])

    @property
    def perfect(self) -> bool:
        """Whether nothing can be better."""
        share = self.metric is not None and self.metric[0].endswith("/accuracy")
        return share and (self.tried.screened or 0.0) >= 1 - USEFUL_SHARE

    @property
    def order(self) -> tuple[bool, float, float]:
        """The best is the largest."""
        return self.mends, self.gain, self.good


def screened(candidate: Candidate, changed: Changed, how: How, found: Outcome, control: Outcome) -> Screened:
    """Compare a training with a remedy with the one as it is.

    Args:
        candidate: the remedy.
        changed: the program with it.
        how: what was changed.
        found: how that training ended.
        control: how the other one did.
    """
    metric = choose_metric([control, found])
    measure, higher = metric or ("", True)
    before, after = value(control, measure), value(found, measure)
    if metric is None:  # whether it ended well is all that is known
        before, after = (None if each.failed else 0.0 for each in (control, found))
    by, least = gain(before, after, higher), useful(measure, [1.0 if before is None else before])
    rule, name = candidate.finding.rule, candidate.finding.name
    gone = name in _names(control) and name not in _names(found)  # not one that another remedy has brought
    mends = rule.proves and rule.kind == "bug" and found.failed is None and gone
    because = found.failed or ("the bug is gone" if mends else "better" if by > least else "no better")
    tried = Tried(
        remedy=candidate.remedy,
        dose=dict(candidate.dose),
        says=candidate.says,
        how=how,
        finding=candidate.finding.name,
        screened=None if metric is None else after,
        because=because,
    )
    return Screened(candidate, changed, found, tried, metric, by, least, mends)


def _names(of: Outcome) -> set[str]:
    """All that was found in a training, advice as well."""
    return {each["name"] for each in Run(of.run).info.get("result", {}).get("findings", [])}


def uncovered(each: Screened, control: Outcome) -> set[str]:
    """What is found only since a remedy has mended its finding, as that the rate is too low for small weights."""
    found = set(each.outcome.findings)
    gone = each.tried.finding in control.findings and each.tried.finding not in found
    return found - set(control.findings) if gone and not each.outcome.failed else set()


def on_top(each: Screened, first: Screened) -> Screened:
    """A remedy that was tried on top of another one, as one of both."""
    return replace(each, tried=together([first.tried, each.tried]), on=(*first.on, first.candidate))


def figure(each: Screened, control: Outcome) -> str:
    """The metric with a remedy and without it, in words."""
    return f"{value_text(each.outcome, each.metric)} (was {value_text(control, each.metric, short=True)})"


def value_text(found: Outcome, metric: Metric | None, short: bool = False) -> str:
    """The metric of a training, or why there is none."""
    known = None if metric is None else value(found, metric[0])
    if metric is None or known is None:
        return (found.failed or ("no metric" if metric is None else "not finite")).splitlines()[0]
    return f"{known:.4g}" if short else f"{metric[0]} {known:.4g}"


def together(tried: list[Tried]) -> Tried:
    """Several remedies as one, with the last trial, which is of all."""
    if len(tried) == 1:
        return tried[0]
    return replace(
        tried[-1],
        remedy=" + ".join(each.remedy for each in tried),
        dose={name: dose for each in tried for name, dose in _doses(each).items()},
        says=", and ".join(each.says for each in tried),
        how="live" if any(each.how == "live" for each in tried) else "patch",
        finding=tried[0].finding,
    )


def _doses(tried: Tried) -> dict[str, Settings]:
    return dict(tried.dose) if " + " in tried.remedy else {tried.remedy: tried.dose}
