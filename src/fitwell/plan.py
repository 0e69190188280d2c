"""Plan: what a training will be. Frozen, validated, JSON both ways, with a readable diff.

A plan is a tree of parts. A part may be given by its first field alone, so
``Plan(data="mnist", model="cnn", optimizer="sgd")`` is a whole plan; ``plan.change(lr=0.1, epochs=3)``
sets any field of any part by its name. ``"auto"`` is decided from the data when the training begins, and
the plan that a run keeps holds what was decided.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, cast, dataclass_transform

from pydantic import BeforeValidator, ConfigDict, Field, PlainSerializer, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from fitwell.errors import PlanError

Auto = Literal["auto"]
Share = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]

T = TypeVar("T")


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(Field,))
def part(cls: type[T]) -> type[T]:
    """A frozen dataclass whose values are validated, and refused with a PlanError."""
    made = dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))(cls)
    build = made.__init__

    def initialise(self: Any, **values: Any) -> None:
        try:
            build(self, **values)
        except ValidationError as error:
            raise _refusal(error, made.__name__) from None

    made.__init__ = initialise  # type: ignore[method-assign]
    return cast("type[T]", made)


def _refusal(error: ValidationError, where: str) -> PlanError:
    first = error.errors()[0]
    # Union branches add their own names to the path ("constrained-int"): keep the field names only.
    path = ".".join(str(step) for step in first["loc"] if str(step).isidentifier() and step not in _BRANCHES)
    if first["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        known = sorted(FLAT)
        near = difflib.get_close_matches(path.split(".")[-1], known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"choose among {', '.join(known)}"
        return PlanError(f"{where} has no setting {path!r}", "a known setting", hint)
    messages = [e["msg"] for e in error.errors() if e["loc"][:1] == first["loc"][:1]]
    wanted = "; or ".join(dict.fromkeys(text.replace("Input should be ", "") for text in messages))
    owner = where.removesuffix("Plan").lower()  # a part's refusal names the part: optimizer.lr
    name = ".".join(filter(None, (owner, path))) or "the plan"
    return PlanError(f"{name} = {first['input']!r} can't be used", wanted, f"change {name}")


_BRANCHES = {"int", "float", "str", "bool", "none", "auto"}


class Memory:
    """Data that lives in memory: an array, a DataFrame, or a pair (X, y). Never written into JSON."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        return "memory"


def _source(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    return value if isinstance(value, str | Memory) else Memory(value)


@part
class DataPlan:
    """What to learn from, and how it is divided."""

    source: Annotated[Any, BeforeValidator(_source), PlainSerializer(str)] = Field(
        description="a name (digits, mnist …), a file, a folder, or data in memory"
    )
    target: str | None = Field(
        default=None,
        description="the column to predict; by default one called target, label, class or y, else the last",
    )
    task: Literal["auto", "classes", "number", "none"] = Field(
        default="auto", description="found from the values of the target"
    )
    validation: Share | Count | Auto = Field(
        default="auto", description="decides when to stop and which weights to keep; never trained on"
    )
    test: Share | Count | Auto = Field(default="auto", description="measured once, at the end")
    group: str | None = Field(default=None, description="rows with the same value here stay in one part")
    time: str | None = Field(default=None, description="the past trains, the future tests, by this column")


@part
class ModelPlan:
    """Which family of models, and how large."""

    family: str = Field(default="auto", description="cnn for images, mlp for everything else")
    hidden: tuple[Count, ...] | Auto = Field(
        default="auto", description="units of each hidden layer (channels of each stage in a cnn)"
    )
    activation: Literal["auto", "relu", "gelu", "silu", "elu", "leaky_relu", "tanh", "sigmoid"] = Field(
        default="auto", description="relu: cheap, and its gradient does not vanish"
    )
    norm: Literal["auto", "none", "batch", "layer"] = Field(default="auto", description="batch in a cnn")
    dropout: Share | Auto = Field(default="auto", description="some for small data, where memorising is easy")
    embedding: Literal["auto", "none", "periodic"] = Field(
        default="auto", description="periodic: each number of a table through waves, to bend quickly along it"
    )
    cd_steps: Count = Field(default=1, description="Gibbs steps of contrastive divergence (rbm)")


@part
class LossPlan:
    """What is minimised."""

    function: Literal["auto", "cross-entropy", "bce", "mse", "mae", "huber"] = Field(
        default="auto", description="cross-entropy for classes, bce for two, mse for numbers"
    )
    class_weights: bool | tuple[NonNegative, ...] = Field(
        default=False, description="weight classes by 1 / their frequency (in Python also a weight each)"
    )
    label_smoothing: Share = Field(default=0.0, description="share of the target spread over all classes")


@part
class OptimizerPlan:
    """How the weights are moved."""

    algorithm: str = Field(default="adamw", description="adaptive, with decay apart from the gradient")
    lr: Positive | Auto = Field(default="auto", description="found by the learning-rate finder")
    momentum: Share = Field(default=0.9, description="of sgd and rmsprop")
    weight_decay: NonNegative | Auto = Field(
        default="auto", description="pulls weights to zero; never norms and biases"
    )
    options: dict[str, Any] = Field(default_factory=dict, description="further arguments of the algorithm")


@part
class SchedulePlan:
    """How the learning rate changes over the training."""

    shape: Literal["one-cycle", "cosine", "constant", "step", "exponential", "plateau"] = Field(
        default="one-cycle", description="high rates in the middle, fine steps at the end"
    )
    warmup: Share | Auto = Field(default="auto", description="share of the steps in which the rate rises")
    decay: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.1, description="factor of step, exponential (each third of the training) and plateau"
    )
    plateau_patience: Count = Field(
        default=3, description="epochs without improvement before plateau lowers the rate"
    )


Augmentation = Literal["shift", "flip", "rotate", "color"]


@part
class RegularizationPlan:
    """What keeps the model from memorising, beside dropout and weight decay."""

    augment: tuple[Augmentation, ...] | Auto = Field(default="auto", description="new views of each image")
    mixup: NonNegative = Field(
        default=0.0, description="alpha of the Beta distribution that mixes pairs of samples"
    )
    clip: Positive | None = Field(default=None, description="largest norm of the gradient")
    ema: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        default=None, description="evaluate an exponential moving average of the weights with this decay"
    )


@part
class StoppingPlan:
    """When the training ends."""

    epochs: Count | Auto = Field(default="auto", description="passes over the training part")
    patience: Count | Auto | None = Field(
        default="auto", description="epochs without improvement before it stops"
    )
    min_delta: NonNegative = Field(default=0.0, description="what counts as an improvement")
    monitor: Literal["auto", "loss", "metric"] = Field(
        default="auto", description="of the validation part: says which weights to keep and when to stop"
    )


def _given_by_first_field(cls: type[Any]) -> BeforeValidator:
    """Accept a bare value for a part: Plan(optimizer="sgd") is OptimizerPlan(algorithm="sgd")."""
    first = dataclasses.fields(cls)[0].name

    def lift(value: Any) -> Any:
        if isinstance(value, cls) or (isinstance(value, Mapping) and all(isinstance(k, str) for k in value)):
            return value
        return {first: value}

    return BeforeValidator(lift)


@part
class Plan:
    """What a training will be. Defaults and reasons: ``fitwell train DATA --explain-plan``."""

    data: Annotated[DataPlan, _given_by_first_field(DataPlan)] = Field(description="what to learn from")
    model: Annotated[ModelPlan, _given_by_first_field(ModelPlan)] = ModelPlan()
    loss: Annotated[LossPlan, _given_by_first_field(LossPlan)] = LossPlan()
    optimizer: Annotated[OptimizerPlan, _given_by_first_field(OptimizerPlan)] = OptimizerPlan()
    schedule: Annotated[SchedulePlan, _given_by_first_field(SchedulePlan)] = SchedulePlan()
    regularization: RegularizationPlan = RegularizationPlan()
    stopping: Annotated[StoppingPlan, _given_by_first_field(StoppingPlan)] = StoppingPlan()
    batch_size: Count | Auto = Field(default="auto", description="samples a step; fewer steps when larger")
    accumulate: Count = Field(default=1, description="batches whose gradients are averaged into one step")
    seed: Annotated[int, Field(ge=0, lt=2**32)] = Field(default=0, description="of every random draw")
    device: str = Field(default="auto", description="cuda, then mps, then cpu")
    precision: Literal["fp32", "bf16"] = Field(
        default="fp32", description="bf16 is faster where the device has it"
    )
    threads: Count | Auto = Field(
        default="auto", description="of the CPU; measured, for two can be slower than one"
    )
    deterministic: bool = Field(
        default=False, description="refuse operations whose result may vary between runs"
    )

    if TYPE_CHECKING:
        # What each part may be given as; a type checker can't see through the validators.
        def __init__(  # noqa: PLR0913 - one for each part
            self,
            *,
            data: Any,
            model: ModelPlan | str = ...,
            loss: LossPlan | str = ...,
            optimizer: OptimizerPlan | str = ...,
            schedule: SchedulePlan | str = ...,
            regularization: RegularizationPlan = ...,
            stopping: StoppingPlan | int = ...,
            batch_size: int | Auto = ...,
            accumulate: int = ...,
            seed: int = ...,
            device: str = ...,
            precision: str = ...,
            threads: int | Auto = ...,
            deterministic: bool = ...,
        ) -> None: ...

    def to_json(self) -> str:
        """The plan as JSON text, which ``Plan.from_json`` reads back."""
        return _ADAPTER.dump_json(self, indent=2).decode()

    @staticmethod
    def from_json(text: str) -> Plan:
        """The plan that ``to_json`` wrote.

        Raises:
            PlanError: the text is no JSON, or a setting in it is wrong.
        """
        try:
            return _ADAPTER.validate_python(json.loads(text))
        except json.JSONDecodeError as error:
            raise PlanError(f"the plan is not JSON: {error}", "a JSON object", "check the file") from None
        except ValidationError as error:
            raise _refusal(error, "Plan") from None

    def change(self, **values: Any) -> Plan:
        """A plan with other values: ``plan.change(lr=0.1, epochs=3, model="cnn")``.

        A name is that of a part, of a field of the plan, or of a field of one of its parts.

        Raises:
            PlanError: no such setting, or a value that it can't take.
        """
        top: dict[str, Any] = {}
        inner: dict[str, dict[str, Any]] = {}
        for name, value in values.items():
            owner = FLAT.get(name)
            if owner:
                inner.setdefault(owner, {})[name] = value
            else:
                top[name] = value
        plan = _replace(self, top)
        return _replace(plan, {owner: _replace(getattr(plan, owner), new) for owner, new in inner.items()})

    def settings(self) -> Iterator[tuple[str, Any, str]]:
        """Each setting as (path, value, why), in the order of the plan."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if dataclasses.is_dataclass(value):
                for inner in dataclasses.fields(value):
                    path = f"{field.name}.{inner.name}"
                    yield path, getattr(value, inner.name), _why(type(value), inner.name)
            else:
                yield field.name, value, _why(Plan, field.name)

    def diff(self, other: Plan) -> list[str]:
        """What differs, a line each: ``optimizer.lr: 0.1 -> 0.01``."""
        pairs = zip(self.settings(), other.settings(), strict=True)
        return [f"{path}: {mine} -> {theirs}" for (path, mine, _), (_, theirs, _) in pairs if mine != theirs]


def _replace(plan: T, values: dict[str, Any]) -> T:
    unknown = [name for name in values if name not in {f.name for f in dataclasses.fields(cast("Any", plan))}]
    if unknown:
        near = difflib.get_close_matches(unknown[0], [*FLAT, *_TOP], n=1)
        hint = f"did you mean {near[0]!r}?" if near else "see fitwell train --help"
        raise PlanError(f"a plan has no setting {unknown[0]!r}", "a known setting", hint)
    return dataclasses.replace(cast("Any", plan), **values) if values else plan


def _why(cls: type[Any], field: str) -> str:
    return cls.__pydantic_fields__[field].description or ""


_PARTS = {f.name: f.type for f in dataclasses.fields(cast("Any", Plan))}
_TOP = set(_PARTS)
_ADAPTER = TypeAdapter(Plan)
# The part that owns each inner field: names are unique over the whole tree, which a test holds.
FLAT: dict[str, str] = {
    field.name: part_name
    for part_name, cls in {
        "data": DataPlan, "model": ModelPlan, "loss": LossPlan, "optimizer": OptimizerPlan,
        "schedule": SchedulePlan, "regularization": RegularizationPlan, "stopping": StoppingPlan,
    }.items()
    for field in dataclasses.fields(cast("Any", cls))
}  # fmt: skip
