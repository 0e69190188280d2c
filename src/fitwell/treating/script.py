"""Treat a program: watch it, diagnose it, try remedies in one training each, verify the best, and look again."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from fitwell.diagnosing import diagnose
from fitwell.experiment import Answer
from fitwell.run import Run, runs_folder
from fitwell.run.files import write_json
from fitwell.treating.candidates import Candidate, candidates, confirms, remedies
from fitwell.treating.next_try import MOST_SCREENED, next_try
from fitwell.treating.reruns.changed import AS_IT_IS, Changed, main_file, to_write, treated
from fitwell.treating.reruns.rerun import outcome, rerun
from fitwell.treating.reruns.trainings import NoTime, Start, Trainings
from fitwell.treating.screening import Screened, figure, on_top, screened, together, uncovered, value_text
from fitwell.treating.verify import (
    Metric,
    choose_metric,
    gain,
    is_broken,
    useful,
    value,
    verify,
)
from fitwell.treatment import FILE, How, Outcome, Treatment, Trial, Tried
from fitwell.watching.launch import Program

SOURCES = "treated_sources.json"  # beside treatment.json: what --write writes
NOTHING_FOUND = "nothing was found that is to be mended"
NOTHING_TRAINED = "no training was seen: no optimizer took a step"
MOST_CANDIDATES = 100  # of which many can't be applied, or come to the same
MOST_ON_TOP = 4  # trainings on top of a remedy that uncovers another fault
MOST_VERIFIED = 3
MOST_PAIRS = 6
MOST_REMEDIES = 3  # on top of each other

Say = Callable[[str], None]


def treat_script(  # noqa: PLR0913 - what people may ask for
    program: Program,
    *,
    run: Run | None = None,
    folder: str | None = None,
    runs: str | Path | None = None,
    seeds: int = 3,
    remedy: str | None = None,
    seconds: float | None = None,
    start: Start = rerun,
    say: Say = lambda _: None,
) -> Treatment:
    """Find what mends a program, and prove it.

    What came of it is written into the folder of the run that was treated as ``treatment.json``, and the text of the
    program with the cure as ``treated_sources.json``. The program's own files are not changed.

    Args:
        program: which.
        run: of it that was watched before; by default it is run now.
        folder: where the program is started; by default here.
        runs: the folder of runs.
        seeds: on which the best remedy is verified, at least.
        remedy: the name of the only one to try.
        seconds: that all may take.
        start: runs the program once.
        say: is told of every training.

    Raises:
        PlanError: the remedy that was asked for treats nothing that was found.
        RunError: the program can't be run, or its files can't be kept.
        StorageError: the folder of runs can't be written.
    """
    here = os.path.abspath(folder or os.getcwd())
    with Trainings(program, here, Path(os.path.abspath(runs_folder(runs))), start, seconds) as trainings:
        if run is None:
            say(f"watching {program.title}")
            trainings.first()
        else:
            trainings.begin_with(outcome(run, 0))
        (trainings.run.path / SOURCES).unlink(missing_ok=True)
        made = _Course(trainings, seeds, remedy, say).treatment()
    made = replace(made, seconds=round(time.monotonic() - trainings.began, 3), confirms=confirms(made))
    write_json(trainings.run.path / FILE, made.plain())
    return made


class _Course:
    """The course of a treatment.

    Args:
        trainings: of the program.
        seeds: least pairs.
        only: the remedy to try.
        say: is told of every training.
    """

    def __init__(self, trainings: Trainings, seeds: int, only: str | None, say: Say) -> None:
        self.trainings, self.seeds, self.only, self.say = trainings, seeds, only, say
        self.main = main_file(trainings.program, trainings.folder)
        self.tried: list[Tried] = []
        self.taken: list[Screened] = []
        self.metric: Metric | None = choose_metric([trainings.first_outcome])
        self.late: list[str] = []  # what there was no time for

    def treatment(self) -> Treatment:
        """Of the run as it is; then of what is left with the cure."""
        base, control = AS_IT_IS, self.trainings.first_outcome
        while len(self.taken) < MOST_REMEDIES and not self.late:
            found = self._round(base, control)
            if found is None:
                break
            self.taken.append(found)
            base, control = found.changed, found.outcome
            if self.only or not control.findings:
                break
        made = self._with_cure() if self.taken else self._without_cure()
        late = f"; there was no time for: {', '.join(self.late)}" if self.late and self.tried else ""
        name = self.metric[0] if self.metric else ""
        as_it_is = value(self.trainings.first_outcome, name)
        return replace(
            made, because=made.because + late, tried=tuple(self.tried), metric=name, control=as_it_is
        )

    def _round(self, base: Changed, control: Outcome) -> Screened | None:
        """The remedy that mends what was found in a training; None if none does."""
        promising = sorted(
            (each for each in self._screened(base, control) if each.promises),
            key=lambda each: each.order, reverse=True,
        )  # fmt: skip
        for each in promising[:MOST_VERIFIED]:
            trial = self._verified(base, each)
            if trial is None:
                return None
            with_trial = replace(each.tried, trial=trial)
            self.tried[self.tried.index(each.tried)] = with_trial
            mended = each.mends and not self.taken and _is_harmless(trial)
            if trial.answer == "confirmed" or mended:
                return replace(each, tried=with_trial)
        return None

    def _options(self, base: Changed, control: Outcome) -> list[tuple[Candidate, Changed, How]]:
        """The candidates that can be tried, in order, each different from the others."""
        run, compared = Run(control.run), self.metric is not None or is_broken(control)
        found: list[tuple[Candidate, Changed, How]] = []
        for candidate in candidates(run, diagnose(run), most=MOST_CANDIDATES, only=self.only):
            made = treated(base, candidate, self.main)
            severe = candidate.finding.severity != "advice" or not self.taken
            # With no figure to compare by all that can be seen is that a proved bug is gone.
            severe = severe and (compared or candidate.finding.rule.proves)
            if made is not None and severe and made[0] not in [base, *(changed for _, changed, _ in found)]:
                found.append((candidate, *made))
        return found

    def _screened(self, base: Changed, control: Outcome) -> list[Screened]:
        """One training with each; a proved bug that is gone, and was the cause, needs no other."""
        found = self._tried_out(self._options(base, control), control, control, MOST_SCREENED)
        if any(each.perfect or (each.mends and each.gain > each.least) for each in found):
            return found
        for each in found:
            left = uncovered(each, control)
            if left and not self.late:
                others = self._options(each.changed, each.outcome)
                known = [option for option in others if option[0].finding.name in left]
                more = self._tried_out(known, each.outcome, control, MOST_ON_TOP, each)
                return found + more
        return found

    def _tried_out(
        self,
        options: list[tuple[Candidate, Changed, How]],
        beside: Outcome,
        control: Outcome,
        most: int,
        first: Screened | None = None,
    ) -> list[Screened]:
        """One training with each that may help beside a training, compared with the control."""
        seen, found = list[Screened](), list[Screened]()
        most = min(len(options), most)
        while (place := next_try([each for each, _, _ in options], seen, most)) is not None:
            candidate, changed, how = options[place]
            try:
                outcome_ = self.trainings.outcome(changed, 0)
            except NoTime:
                self.late += [each.says for each, _, _ in options[: most - len(found)]]
                break
            del options[place]
            seen.append(screened(candidate, changed, how, outcome_, beside))
            each = screened(candidate, changed, how, outcome_, control)
            each = on_top(each, first) if first else each
            found.append(each)
            self.tried.append(each.tried)
            self.metric = self.metric or each.metric
            self.say(
                f"screening {len(found)} of {most} at most: {each.tried.says} ... {figure(each, control)}"
            )
            if each.mends and each.gain > each.least:
                break
        return found

    def _verified(self, base: Changed, each: Screened) -> Trial | None:
        """Pairs of trainings on fresh seeds; None if there was no time."""

        def arm(changed: Changed, name: str) -> Callable[[int], Outcome]:
            def train(seed: int) -> Outcome:
                found = self.trainings.outcome(changed, seed)
                self.say(f"verifying with seed {seed}, {name} ... {value_text(found, each.metric)}")
                return found

            return train

        self.say(f"verifying: {each.tried.says}")
        most = max(self.seeds, MOST_PAIRS)
        try:
            control, other = arm(base, "as it is"), arm(each.changed, "treated")
            return verify(control, other, seeds=self.seeds, most=most, metric=each.metric)
        except NoTime:
            self.late.append(f"verifying that it helps to {each.tried.says}")
            return None

    def _with_cure(self) -> Treatment:
        """The remedies that were taken, one on top of the other."""
        last, run = self.taken[-1], self.trainings.run
        trial = last.tried.trial
        assert trial is not None  # noqa: S101 - what is taken was verified
        parts = [part for each in self.taken for part in (*each.on, each.candidate)]
        known = [remedies()[part.remedy] for part in parts]
        if last.changed.sources:
            write_json(run.path / SOURCES, to_write(last.changed))
        gone = f"; but the bug is gone: {last.candidate.finding.name}" if trial.answer != "confirmed" else ""
        return Treatment(
            run=str(run.path),
            answer=trial.answer,
            because=trial.because + gone,
            cure=together([each.tried for each in self.taken]),
            diff=last.changed.diff(self.trainings.folder),
            costs="; ".join(dict.fromkeys(remedy.costs for remedy in known)),
            not_when="; ".join(dict.fromkeys(remedy.not_when for remedy in known)),
        )

    def _without_cure(self) -> Treatment:
        run = self.trainings.run
        trials = [each.trial for each in self.tried if each.trial]
        if trials:
            best = next((trial for trial in trials if trial.answer == "inconclusive"), trials[0])
            return Treatment(str(run.path), best.answer, best.because)
        if self.tried:
            answer: Answer = "inconclusive" if self.late else "refuted"
            return Treatment(str(run.path), answer, "nothing that was tried helps")
        return Treatment(str(run.path), "inconclusive", self._why_nothing())

    def _why_nothing(self) -> str:
        """Why nothing was tried."""
        run, failed = self.trainings.run, self.trainings.first_outcome.failed
        names = ", ".join(finding.name for finding in diagnose(run).findings)
        end = f"the program did not end well: {failed}; " if failed else ""
        if not names:
            nothing = NOTHING_TRAINED if run.info.get("result", {}).get("steps") == 0 else NOTHING_FOUND
            return f"{end}no known remedy mends that" if failed else nothing
        if self.late:
            return f"{end}there was no time to try anything for what was found: {names}"
        able = f"{self.only} can't" if self.only else "no remedy can"
        return f"{end}{able} be applied to what was found: {names}"


def _is_harmless(trial: Trial) -> bool:
    """Whether a bug may be mended although nothing is gained by it."""
    pairs = list(zip(trial.control, trial.treated, strict=True))
    if not trial.metric:
        return trial.answer != "refuted"
    known = [c for c, _ in pairs if c is not None]
    gains = [gain(c, t, trial.higher) for c, t in pairs]
    return sum(gains) >= -len(gains) * useful(trial.metric, known or [1.0])
