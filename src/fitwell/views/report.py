"""The report of a run: what its figures say, as a page. Every text of the run is escaped."""

from __future__ import annotations

import math
import re
import shlex
from html import escape
from pathlib import Path
from typing import Any

from fitwell.plan import Memory, Plan
from fitwell.run import Run
from fitwell.run.files import write_atomic
from fitwell.views import cures, figures, findings, page, watched_report
from fitwell.views.figures import HIGHER_IS_BETTER, PARTS, best_epoch, duration, main_metric, number, shown

BASELINE = "gradient boosting (scikit-learn)"
_PICTURE = re.compile(r"data:image/(png|jpeg);base64,[A-Za-z0-9+/=\s]+")


def parts(run: Run) -> list[tuple[str, list[str]]]:
    """The final figures, a row each: what it is, and its values on train, validation and test."""
    metrics, main = run.metrics, main_metric(run)
    plain = [name.partition("/") for name in metrics if name.count("/") == 1]
    names = sorted(
        {name for part, _, name in plain if part in PARTS}, key=lambda name: (name != "loss", name)
    )
    rows = [
        (name.replace("_", " "), [shown(name, metrics.get(f"{part}/{name}")) for part in PARTS])
        for name in names
    ]
    baseline = [metrics.get(f"baseline/{part}/{main}") for part in PARTS]
    if any(value is not None for value in baseline):
        rows.append((f"{main} of {BASELINE}", [shown(main, value) for value in baseline]))
    return rows


def gap(metric: str, train: float | None, val: float | None) -> str:
    """How much worse validation is than training: in points of accuracy, else in the metric's unit.

    >>> gap("accuracy", 0.99, 0.97), gap("mae", 3.0, 4.5), gap("loss", None, 1.0)
    ('2.00 pt', '1.5', '-')
    """
    if train is None or val is None:
        return "-"
    worse = train - val if metric in HIGHER_IS_BETTER else val - train
    return f"{100 * worse:.2f} pt" if metric == "accuracy" else number(worse)


def run_gap(run: Run) -> str:
    """The generalisation gap of the weights that were kept."""
    metric = main_metric(run) or "loss"
    return gap(metric, run.metrics.get(f"train/{metric}"), run.metrics.get(f"val/{metric}"))


def baseline_sentence(run: Run) -> str:
    """An honest word on the baseline where it beats the net on held-out data; else nothing."""
    metric, metrics = main_metric(run), run.metrics
    for part in ("test", "val"):
        net, other = metrics.get(f"{part}/{metric}"), metrics.get(f"baseline/{part}/{metric}")
        if net is None or other is None:
            continue
        ahead = other - net if metric in HIGHER_IS_BETTER else net - other
        theirs, ours = shown(metric, other), shown(metric, net)
        figures = f"{BASELINE} has {theirs} {metric} on {PARTS[part]} data, the net {ours}"
        if ahead <= 0:
            return ""
        if ahead <= _doubt(run, part, metric, other):
            return f"The baseline is ahead, but not clearly: {figures}."
        return f"The baseline is better here: {figures}. Prefer it unless you need a net."
    return ""


def _doubt(run: Run, part: str, metric: str, value: float) -> float:
    """The standard error of the difference between two accuracies; for other metrics, one of a hundred."""
    evaluation = run.evaluation
    samples = sum(map(sum, evaluation.get("confusion", []))) if evaluation.get("part") == part else 0
    if metric != "accuracy" or not samples:
        return 0.01 * abs(value)
    return math.sqrt(2 * max(value * (1 - value), 0) / samples)


def epochs_sentence(run: Run) -> str:
    """When it converged, which epoch was kept, and how long it took."""
    result = run.result
    converged = result.get("converged_at_epoch")
    when = f"converged at epoch {converged}" if converged is not None else "did not converge"
    best = f"best epoch {best_epoch(run)} of" if best_epoch(run) else "epochs:"
    return f"{when}, {best} {result['epochs']}, {duration(result['seconds'])}"


def decisions(plan: Plan) -> list[tuple[str, str, str, str]]:
    """What differs from the defaults: (setting, default, value, why)."""
    default = Plan(data=plan.data.source)
    return [
        (path, value_text(usual), value_text(value), why)
        for (path, value, why), (_, usual, _) in zip(plan.settings(), default.settings(), strict=True)
        if value != usual
    ]


def value_text(value: Any) -> str:
    """A setting as a person would write it: ``none``, ``256 128``, ``0.003``."""
    if value is None:
        return "none"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, tuple | list):
        return " ".join(map(str, value)) or "none"
    return str(value)


def reproduction(run: Run) -> str:
    """The command that trains such a run again."""
    plan = run.plan
    words = ["fitwell", "train", "DATA" if isinstance(plan.data.source, Memory) else str(plan.data.source)]
    flags = {
        "target": plan.data.target, "group": plan.data.group, "time": plan.data.time,
        "model": plan.model.family, "epochs": plan.stopping.epochs, "lr": plan.optimizer.lr,
        "batch-size": plan.batch_size, "optimizer": plan.optimizer.algorithm, "schedule": plan.schedule.shape,
        "seed": plan.seed,
    }  # fmt: skip
    for flag, value in flags.items():
        if value not in (None, "auto"):
            words += [f"--{flag}", str(value)]
    return shlex.join(words)


def report_html(run: Run) -> str:
    """The page of a finished run, or of a watched one or a study however far it came.

    Raises:
        RunError: the run has not finished.
    """
    if run.watched:
        return watched_report.report_html(run)
    if run.study:
        from fitwell.study import StudyRecord
        from fitwell.views.study_report import (
            report_html as page_of_study,
        )  # whose texts are those of this file

        return page_of_study(StudyRecord(run.path))
    title = f"{run.info.get('data', run.name)}: {run.verdict.replace('-', ' ')}"
    sections = (
        _headline(run), findings.section(run), cures.section(run), _parts(run), _curves(run), _confusion(run),
        _mistakes(run), _plan(run), _notes(run), page.environment(run),
    )  # fmt: skip
    return page.html(title, sections)


def write_report(run: Run) -> Path:
    """Write ``report.html`` into the run's folder, atomically; return its path.

    Raises:
        RunError: the run has not finished.
        StorageError: the folder can't be written.
    """
    path = run.path / "report.html"
    write_atomic(path, report_html(run).encode(errors="replace"))
    return path


def _headline(run: Run) -> str:
    result, metric, info = run.result, main_metric(run) or "loss", run.info
    part = next((part for part in ("test", "val", "train") if f"{part}/{metric}" in run.metrics), "train")
    tiles = [
        (f"{metric}, {PARTS[part]}", shown(metric, run.metrics.get(f"{part}/{metric}"))),
        ("generalisation gap", run_gap(run)),
        ("best epoch", f"{number(best_epoch(run))} of {result['epochs']}"),
        ("parameters", f"{result['parameters']:,}"),
        ("training time", duration(result["seconds"])),
    ]
    name, reason = str(info.get("data", run.name)), str(result.get("verdict_reason", ""))
    return page.headline(info, name, (run.verdict, reason), tiles)


def _parts(run: Run) -> str:
    sentence = baseline_sentence(run)
    warning = f"<p class=warning>{escape(sentence)}</p>" if sentence else ""
    table = page.table(
        "Final figures", ["", *PARTS.values()], [[name, *row] for name, row in parts(run)], "numbers"
    )
    return page.section("How good is it?", f"{table}{warning}<p>It {escape(epochs_sentence(run))}.</p>")


def _curves(run: Run) -> str:
    alt = f"Loss and {main_metric(run) or 'learning rate'} by epoch, on training and validation data"
    content = page.picture(figures.history(run), alt)
    scatter = figures.predictions(run)
    if scatter:
        content += page.picture(scatter, "Predicted against true values, and their difference")
    return page.section("How did it learn?", content)


def _confusion(run: Run) -> str:
    if "confusion" not in run.evaluation:
        return ""
    classes, matrix = figures.worst_classes(run.evaluation)
    worst = max(
        (n / max(sum(row), 1) for i, row in enumerate(matrix) for j, n in enumerate(row) if i != j), default=0
    )
    head = "".join(f"<th scope=col>{escape(name)}</th>" for name in classes)
    lines = []
    for i, (name, row) in enumerate(zip(classes, matrix, strict=True)):
        cells = "".join(_heat(n, n / max(sum(row), 1), worst, i == j) for j, n in enumerate(row))
        lines.append(f"<tr><th scope=row>{escape(name)}</th>{cells}</tr>")
    part = escape(figures.held_out_part(run))
    fewer = (
        f" The {len(classes)} classes that were confused most."
        if len(run.evaluation["classes"]) > len(classes)
        else ""
    )
    caption = f"Rows are true classes, columns what the model said, on {part} data.{fewer}"
    return page.section(
        "What was taken for what?",
        f"<div class=wide><table class=heat><caption>{caption}</caption>"
        f"<thead><tr><td></td>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>",
    )


def _heat(count: float, share: float, worst: float, hit: bool) -> str:
    """A cell, the stronger coloured the larger its share of the row; mistakes have their own scale."""
    if not count:
        return "<td></td>"
    strength = 0.5 * share if hit else 0.7 * (share / max(worst, 0.1)) ** 0.5
    colour = "good" if hit else "validation"
    return f'<td style="background:rgb(var(--{colour}-rgb) / {strength:.2f})">{number(count)}</td>'


def _mistakes(run: Run) -> str:
    mistakes = run.evaluation.get("mistakes") or []
    if not mistakes:
        return ""
    cards = "".join(_mistake(mistake) for mistake in mistakes)
    return page.section("Where is it wrong?", f"<p>The worst mistakes first.</p><ul class=cards>{cards}</ul>")


def _mistake(mistake: dict[str, Any]) -> str:
    row, true, said = (_any(mistake.get(key)) for key in ("row", "true", "predicted"))
    picture, sure = str(mistake.get("picture", "")), mistake.get("confidence")
    image = ""
    if _PICTURE.fullmatch(picture):
        image = f'<img src="{picture}" alt="{escape(row)}: {escape(true)}, taken for {escape(said)}">'
    values = "".join(
        f"<div><dt>{escape(str(name))}</dt><dd>{escape(_any(value))}</dd></div>"
        for name, value in (mistake.get("values") or {}).items()
    )
    certainty = f", {sure:.0%} sure" if isinstance(sure, int | float) else ""
    return (
        f"<li>{image}<p><b>{escape(true)}</b> taken for <b class=wrong>{escape(said)}</b>{certainty}</p>"
        f"<p class=row>{escape(row)}</p>{f'<dl>{values}</dl>' if values else ''}</li>"
    )


def _any(value: Any) -> str:
    return number(value) if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def _plan(run: Run) -> str:
    decided = {path for path, *_ in decisions(run.plan)}
    rows = [(path, value_text(value), "default" if path not in decided else "chosen", why)
            for path, value, why in run.plan.settings()]  # fmt: skip
    table = page.table("Every setting of the training", ["setting", "value", "", "why"], rows, "plan")
    differ = f"{len(decided)} settings were chosen by you or decided from the data; the others are defaults."
    return page.section(
        "What was trained?",
        f"<p>{differ} Train it again:</p><pre><code>{escape(reproduction(run))}</code></pre>"
        f"<details><summary>The whole plan</summary>{table}</details>",
    )


def _notes(run: Run) -> str:
    notes = "".join(f"<li>{escape(str(note))}</li>" for note in run.info.get("notes") or [])
    return page.section("What should you know?", f"<ul>{notes}</ul>") if notes else ""
