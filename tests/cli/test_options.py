"""Options are made from the plan: every setting has one, and its value arrives."""

from pathlib import Path
from typing import Any

import pytest
import typer

from fitwell.cli import application
from fitwell.cli.options import with_plan_options
from fitwell.errors import PlanError
from fitwell.plan import Plan

# Of each setting: what is typed, and what the plan then holds. A new setting must be added here.
TYPED: dict[str, tuple[list[str], Any]] = {
    "data.target": (["--target", "y"], "y"),
    "data.task": (["--task", "number"], "number"),
    "data.validation": (["--validation", "0.25"], 0.25),
    "data.test": (["--test", "30"], 30),
    "data.group": (["--group", "g"], "g"),
    "data.time": (["--time", "t"], "t"),
    "model.family": (["--model", "cnn"], "cnn"),
    "model.hidden": (["--hidden", "64, 32"], (64, 32)),
    "model.activation": (["--activation", "tanh"], "tanh"),
    "model.norm": (["--norm", "none"], "none"),
    "model.dropout": (["--dropout", "0.5"], 0.5),
    "model.embedding": (["--embedding", "periodic"], "periodic"),
    "model.cd_steps": (["--cd-steps", "3"], 3),
    "loss.function": (["--loss", "mae"], "mae"),
    "loss.class_weights": (["--class-weights"], True),
    "loss.label_smoothing": (["--label-smoothing", "0.1"], 0.1),
    "optimizer.algorithm": (["--optimizer", "sgd"], "sgd"),
    "optimizer.lr": (["--lr", "1e-3"], 1e-3),
    "optimizer.momentum": (["--momentum", "0.5"], 0.5),
    "optimizer.weight_decay": (["--weight-decay", "0"], 0),
    "optimizer.options": (["--options", '{"nesterov": true}'], {"nesterov": True}),
    "schedule.shape": (["--schedule", "cosine"], "cosine"),
    "schedule.warmup": (["--warmup", "0.1"], 0.1),
    "schedule.decay": (["--decay", "0.5"], 0.5),
    "schedule.plateau_patience": (["--plateau-patience", "7"], 7),
    "regularization.augment": (["--augment", "flip,shift"], ("flip", "shift")),
    "regularization.mixup": (["--mixup", "0.2"], 0.2),
    "regularization.clip": (["--clip", "1"], 1),
    "regularization.ema": (["--ema", "0.99"], 0.99),
    "stopping.epochs": (["--epochs", "3"], 3),
    "stopping.patience": (["--patience", "none"], None),
    "stopping.min_delta": (["--min-delta", "0.01"], 0.01),
    "stopping.monitor": (["--monitor", "metric"], "metric"),
    "batch_size": (["--batch-size", "8"], 8),
    "accumulate": (["--accumulate", "4"], 4),
    "seed": (["--seed", "11"], 11),
    "device": (["--device", "cpu"], "cpu"),
    "precision": (["--precision", "bf16"], "bf16"),
    "threads": (["--threads", "2"], 2),
    "deterministic": (["--deterministic"], True),
}


def planned(*args: object) -> Plan:
    """The plan that a command with the plan's options gets."""
    got: list[Plan] = []

    @with_plan_options
    def command(plan: Plan) -> None:
        """Keep the plan."""
        got.append(plan)

    app = typer.Typer(add_completion=False)
    app.command()(command)
    app([str(arg) for arg in args], standalone_mode=False)
    return got[0]


def test_every_setting_of_the_plan_has_an_option() -> None:
    settings = [path for path, _, _ in Plan(data="").settings() if path != "data.source"]
    assert sorted(TYPED) == sorted(settings)
    commands = application().commands
    for name in ("train", "lr"):
        flags = [flag for param in commands[name].params for flag in param.opts]
        assert len(flags) == len(set(flags)), "no two settings share an option"
        assert {args[0] for args, _ in TYPED.values()} <= set(flags)


@pytest.mark.parametrize("path", TYPED)
def test_what_is_typed_arrives_in_the_plan(path: str) -> None:
    typed, value = TYPED[path]
    plan = planned("digits", *typed)
    assert {path: value for path, value, _ in plan.settings()}[path] == value
    assert len(Plan(data="digits").diff(plan)) == 1 or value == "auto"


def test_an_option_that_is_not_given_changes_nothing() -> None:
    assert planned("digits") == Plan(data="digits")


@pytest.mark.parametrize(
    ("typed", "path", "value"),
    [
        (["--hidden", "none"], "model.hidden", ()),
        (["--hidden", "auto"], "model.hidden", "auto"),
        (["--augment", "none"], "regularization.augment", ()),
        (["--clip", "none"], "regularization.clip", None),
        (["--ema", "none"], "regularization.ema", None),
        (["--lr", "auto"], "optimizer.lr", "auto"),
        (["--no-class-weights"], "loss.class_weights", False),
        (["--validation", "0"], "data.validation", 0),
        (["--validation", "1"], "data.validation", 1),
        (["--validation", "auto"], "data.validation", "auto"),
    ],
)
def test_none_and_auto_and_counts_can_be_typed(typed: list[str], path: str, value: Any) -> None:
    assert {path: value for path, value, _ in planned("digits", *typed).settings()}[path] == value


def test_a_plan_from_a_file_is_changed_by_options_and_takes_the_data(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text(Plan(data="old.csv").change(lr=0.5, seed=3).to_json())
    plan = planned("new.csv", "--plan", tmp_path / "plan.json", "--seed", 4)
    assert plan == Plan(data="new.csv").change(lr=0.5, seed=4)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "(?s)can't read .*nothing.*No such file"),
        (b"{", "not JSON"),
        (b"\xff\xfe\x00", "it is no text"),
        (b'{"data": "x", "model": {"famly": "mlp"}}', "(?s)model.famly.*did you mean 'family'"),
    ],
)
def test_a_file_that_is_no_plan_is_refused(tmp_path: Path, content: bytes | None, told: str) -> None:
    path = tmp_path / "nothing.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PlanError, match=told):
        planned("digits", "--plan", path)


def test_options_of_the_optimizer_must_be_json() -> None:
    with pytest.raises(PlanError, match=r"(?s)--options 'x' is not JSON.*nesterov"):
        planned("digits", "--options", "x")
    with pytest.raises(PlanError, match=r"optimizer\.options"):
        planned("digits", "--options", "[1]")


def test_a_commands_own_option_outranks_that_of_a_setting() -> None:
    for command in ("tune", "capacity"):
        options = [flag for each in application(command).commands[command].params for flag in each.opts]
        assert options.count("--time") == 1
        assert "--time-column" in options
    train = [flag for each in application("train").commands["train"].params for flag in each.opts]
    assert "--time" in train
    assert "--time-column" not in train
