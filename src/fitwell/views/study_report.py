"""The report of a study: what was found, how sure that is, and every trial, as a page. Texts are escaped."""

from __future__ import annotations

from html import escape

from fitwell.study import StudyRecord
from fitwell.views import page, study_figures
from fitwell.views import study_texts as texts
from fitwell.views.figures import duration, number, shortened, shown
from fitwell.views.report import decisions
from fitwell.views.seen import counted

ALL_SETTINGS = 100  # columns of the table of all trials


def report_html(study: StudyRecord) -> str:
    """The page of a study, however far it came."""
    sections = (
        _headline(study), _found(study), _pictures(study), _stages(study), _trials(study), _lost(study),
        _plan(study), _notes(study), page.environment(study),
    )  # fmt: skip
    return page.html(
        f"{study.info.get('data', study.name)}: {texts.KINDS.get(study.kind, study.kind)}", sections
    )


def _headline(study: StudyRecord) -> str:
    best, trials = study.best, study.tried
    done = sum(trial.state == "done" for trial in trials)
    seconds = texts.spent(study)
    tiles = (
        [(f"best {texts.metric_words(study)}", texts.score_text(study, best.score))]
        if best is not None
        else []
    )
    mean = texts.main_mean(study)
    if study.kind == "cv" and mean is not None:
        tiles = [(f"mean {texts.metric_words(study)}", shown(study.metric.rpartition("/")[2], mean.mean))]
    tiles += [("trials", f"{len(trials):,}"), ("done", f"{done:,}")]
    tiles += [("parameters of the best", number(best.parameters))] if best is not None else []
    tiles += [("time", duration(seconds))] if seconds is not None else []
    word = best.verdict if best is not None and study.kind == "tune" else ""
    name = f"{study.info.get('data', study.name)}: {texts.KINDS.get(study.kind, study.kind)}"
    return page.headline(study.info, name, (word, texts.state_text(study)), tiles)


def _found(study: StudyRecord) -> str:
    """What came of it, by kind."""
    if study.kind == "cv":
        head, rows = texts.folds_table(study)
        content = "".join(f"<p><b>{escape(text)}</b></p>" for text in texts.cv_texts(study))
        return _section("How good is it?", content, head, rows)
    if study.kind in ("capacity", "samples"):
        head, rows = texts.points_table(study)
        content = f"<p><b>{escape(texts.said(study))}</b></p>" if texts.said(study) else ""
        question = "How large should it be?" if study.kind == "capacity" else "Would more data help?"
        return _section(question, content, head, rows)
    told = [text for text in (texts.sure_text(study), texts.ensemble_text(study)) if text]
    head, rows = texts.trials_table(study, texts.best_trials(study))
    return _section("What is best?", "".join(f"<p>{escape(text)}</p>" for text in told), head, rows)


def _section(title: str, content: str, head: list[str], rows: list[list[str]]) -> str:
    table = page.table("", head, rows, "plan") if rows else ""
    return page.section(title, table + content) if rows or content else ""


def _pictures(study: StudyRecord) -> str:
    pictures = [
        page.picture(figure, study_figures.ALTERNATIVES.get(name, name))
        for name, figure in study_figures.study_figures(study).items()
    ]
    return page.section("How do they compare?", "".join(pictures))


def _stages(study: StudyRecord) -> str:
    rows = texts.stage_rows(study)
    table = page.table("", ["stage", "trials", "best", "found"], rows, "plan")
    return page.section("What was gone through?", table) if rows else ""


def _trials(study: StudyRecord) -> str:
    trials = study.tried
    if not trials:
        return ""
    head, rows = texts.trials_table(study, trials, ALL_SETTINGS)
    table = page.table("Every trial, by number", head, rows, "plan")
    return f"<details><summary>{counted(len(trials), 'trial')} in figures</summary>{table}</details>"


def _lost(study: StudyRecord) -> str:
    items = "".join(f"<li>{escape(text)}</li>" for text in texts.failures(study))
    return page.section("Which trials did not come to their end?", f"<ul>{items}</ul>") if items else ""


def _plan(study: StudyRecord) -> str:
    rows = [(path, shortened(value, 80), why) for path, _, value, why in decisions(study.plan)]
    if not rows:
        return ""
    table = page.table("What differs from the defaults", ["setting", "value", "why"], rows, "plan")
    return page.section("Which plan was varied?", f"<details><summary>The plan</summary>{table}</details>")


def _notes(study: StudyRecord) -> str:
    notes = "".join(f"<li>{escape(note)}</li>" for note in study.notes)
    return page.section("What should you know?", f"<ul>{notes}</ul>") if notes else ""
