"""Every setting of a plan is an option of the command line: they are made from the plan itself."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from fitwell.errors import PlanError
from fitwell.plan import Plan


def with_plan_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command that takes ``plan`` an argument DATA and an option for each setting instead.

    A setting is changed only if its option was given. A part's first field has the part's name: ``--model``,
    ``--optimizer``, ``--schedule``, ``--loss``, ``--epochs`` excepted, which is known by its own.
    """
    settings = {option: (path, why, value) for path, option, why, value in _settings()}

    @functools.wraps(command)
    def wrapped(source: str, plan_file: Path | None = None, **values: Any) -> None:
        given = {name: values.pop(name) for name in list(values) if name in settings}
        plan = _read(plan_file) if plan_file else Plan(data=source)
        plan = plan.change(source=source)
        changes = {
            settings[name][0].split(".")[-1]: _parse(settings[name][0], value)
            for name, value in given.items()
            if value is not None
        }
        command(plan=plan.change(**changes), **values)

    wrapped.__signature__ = _signature(command, settings)  # type: ignore[attr-defined]
    wrapped.__annotations__ = {p.name: p.annotation for p in inspect.signature(wrapped).parameters.values()}
    return wrapped


def _settings() -> list[tuple[str, str, str, Any]]:
    """(path, option's name, why, default) of each setting but the data's source."""
    firsts = {}
    for part in dataclasses.fields(Plan(data="")):
        value = getattr(Plan(data=""), part.name)
        if dataclasses.is_dataclass(value) and part.name in ("model", "loss", "optimizer", "schedule"):
            firsts[f"{part.name}.{dataclasses.fields(value)[0].name}"] = part.name
    return [
        (path, firsts.get(path, path.split(".")[-1]), why, value)
        for path, value, why in Plan(data="").settings()
        if path != "data.source"
    ]


def _signature(command: Callable[..., None], settings: dict[str, tuple[str, str, Any]]) -> inspect.Signature:
    own = [p for p in inspect.signature(command, eval_str=True).parameters.values() if p.name != "plan"]
    source = Annotated[
        str,
        typer.Argument(
            metavar="DATA", help="digits, mnist, people.csv, photos/, arrays.npz, ...", show_default=False
        ),
    ]
    file = Annotated[
        Path | None,
        typer.Option(
            "--plan", help="Begin with the plan of this file, such as a run's plan.json.", metavar="FILE"
        ),
    ]
    keyword, taken = inspect.Parameter.KEYWORD_ONLY, _flags(own)
    parameters = [
        inspect.Parameter("source", keyword, annotation=source),
        inspect.Parameter("plan_file", keyword, annotation=file, default=None),
        *(
            inspect.Parameter(n, keyword, annotation=_option(_free(n, taken), *s), default=None)
            for n, s in settings.items()
        ),
        *(p.replace(kind=keyword) for p in own),
    ]
    return inspect.Signature(parameters)


def _flags(own: list[inspect.Parameter]) -> set[str]:
    """The names of a command's own options, without dashes."""
    found = {parameter.name for parameter in own}
    for parameter in own:
        for option in getattr(parameter.annotation, "__metadata__", ()):
            # Within Annotated, typer takes the first name for a default until it looks closer.
            given = (getattr(option, "default", None), *(getattr(option, "param_decls", None) or ()))
            found |= {text.lstrip("-") for text in given if isinstance(text, str) and text.startswith("--")}
    return found


def _free(name: str, taken: set[str]) -> str:
    """The name of a setting's option; ``--time`` of a search is a duration, and the column of times another option."""
    return f"{name}_column" if name in taken else name


def _option(name: str, path: str, why: str, value: Any) -> Any:
    part = path.split(".", maxsplit=1)[0] if "." in path else "training"
    dashed = "--" + name.replace("_", "-")
    described = f"{why} ({_shown(value)})"
    if isinstance(value, bool):
        return Annotated[
            bool | None, typer.Option(f"{dashed}/--no-{dashed[2:]}", help=described, rich_help_panel=part)
        ]
    return Annotated[str | None, typer.Option(dashed, help=described, rich_help_panel=part, metavar="VALUE")]


def _shown(value: Any) -> str:
    if value is None or value == {}:
        return "none"
    return str(value)


def _parse(path: str, value: Any) -> Any:
    """The text of an option as a value of the plan, which validates it further."""
    if not isinstance(value, str):
        return value
    if path in ("model.hidden", "regularization.augment") and value != "auto":
        return tuple(item.strip() for item in value.split(",") if item.strip() and item.strip() != "none")
    if value == "none" and path in ("stopping.patience", "regularization.clip", "regularization.ema"):
        return None
    if path == "optimizer.options":
        try:
            return json.loads(value)
        except json.JSONDecodeError:
            raise PlanError(
                f"--options {value!r} is not JSON",
                "a JSON object",
                """write --options '{"nesterov": true}'""",
            ) from None
    if path in ("data.validation", "data.test") and value != "auto":
        # "1" is a sample, "0.1" a share: the plan tells them apart by type.
        return int(value) if value.isdigit() else value
    return value


def _read(path: Path) -> Plan:
    try:
        return Plan.from_json(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise PlanError(f"can't read {path}: {reason}", "a plan in JSON", "check --plan") from None
