"""``fitwell rules [NAME]``: what can be found, when, and why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from fitwell.cli.common import JsonOption, known_rule


def command(
    name: Annotated[str | None, typer.Argument(help="Of one rule.", metavar="[NAME]")] = None,
    json_output: JsonOption = False,
    markdown: Annotated[
        Path | None, typer.Option(help="Write a page for each rule into this folder.", metavar="DIR")
    ] = None,
) -> None:
    """List what can be found in a training, or show one rule."""
    from fitwell.diagnosing import rules
    from fitwell.views import diagnosis, rule_pages
    from fitwell.views.console import make_console, put

    if markdown is not None:
        typer.echo(f"{rule_pages.write(rules(), markdown)} pages in {markdown}")
    elif json_output:
        chosen = rules() if name is None else {name: known_rule(name)}
        told: list[dict[str, Any]] = [rule_pages.plain(each, rule) for each, rule in chosen.items()]
        typer.echo(json.dumps(told if name is None else told[0]))
    elif name is None:
        put(make_console(), *diagnosis.rules_table(rules()))
    else:
        put(make_console(), *diagnosis.rule_page(name, known_rule(name)))
