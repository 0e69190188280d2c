"""Examples of all kinds of modules that are stacked, and of what they read."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fitwell.models import Standardize
from fitwell.models.cnn import Cnn, Stage
from fitwell.models.cnn import build as build_cnn
from fitwell.models.dropout import Dropout
from fitwell.models.mlp import BatchNorm, Codes, Join, Mlp
from fitwell.models.periodic import Periodic
from fitwell.plan import ModelPlan
from fitwell.shape import Input, Shape, Target

MEMBERS = 3
FLOATS, NARROW = (5,), (4, 8, 8)  # of one sample: features; channels, height and width
LEVELS = (3, 20, 2, 30)

Draw = Callable[[int, int], list[Tensor]]  # for so many members (1 if shared) and samples: the fields


@dataclass(frozen=True)
class Example:
    """Modules of one kind, and what they read.

    Args:
        make: the module of a member.
        draw: fields (members, samples, ...).
        own: features (or channels) of each member's input, where they differ.
        learns: whether gradients of the input are to be compared.
    """

    make: Callable[[int], nn.Module]
    draw: Draw
    own: tuple[int, ...] = ()
    learns: bool = True


def floats(*shape: int) -> Draw:
    return lambda members, samples: [torch.randn(members, samples, *shape)]


def pixels(members: int, samples: int) -> list[Tensor]:
    return [torch.randint(0, 256, (members, samples, 2, 6, 6), dtype=torch.uint8)]


def categories(members: int, samples: int) -> list[Tensor]:
    return [torch.stack([torch.randint(count, (members, samples)) for count in LEVELS], 2)]


def several(members: int, samples: int) -> list[Tensor]:
    return [*floats(2)(members, samples), *categories(members, samples)]


def only_categories(members: int, samples: int) -> list[Tensor]:
    return [torch.randint(2, (members, samples, 2)), torch.randint(3, (members, samples, 1))]


def same(make: Callable[[], nn.Module]) -> Callable[[int], nn.Module]:
    """The same module for each member, with other weights."""
    return lambda _member: make()


def one_of(*modules: nn.Module) -> Callable[[int], nn.Module]:
    """Another module for each member."""
    return lambda member: copy.deepcopy(modules[member])


def normal(module: nn.Module) -> nn.Module:
    """The module with weights as after some training."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape))
        for name, buffer in module.named_buffers():
            if "running" in name:
                buffer.copy_(torch.rand(buffer.shape) + 0.5)
    return module


def stage(inputs: int, outputs: int, stride: int, **settings: Any) -> nn.Module:
    return Stage(inputs, outputs, stride, ModelPlan(**({"activation": "silu", "norm": "batch"} | settings)))


def cnn(channels: tuple[int, ...], **settings: Any) -> nn.Module:
    plan = ModelPlan(family="cnn", hidden=channels, **({"activation": "relu", "dropout": 0.0} | settings))
    image = Input("image", (2, 6, 6), mean=(100.0, 90.0), std=(50.0, 60.0))
    return build_cnn(plan, Shape({"x": image}, Target("classes", ("a", "b", "c"))))


POOL = (nn.AvgPool2d(2, ceil_mode=True), nn.MaxPool2d(3, 2, 1), nn.AdaptiveAvgPool2d(2))
PLAIN = (nn.GELU(), nn.SiLU(), nn.ELU(), nn.LeakyReLU(0.1), nn.Tanh(), nn.Sigmoid(), nn.Softplus(), nn.Hardtanh(),
         nn.ReLU6(), nn.Identity(), nn.ReLU())  # fmt: skip

EXAMPLES: dict[str, tuple[type[nn.Module], Example]] = (
    {
        "linear": (nn.Linear, Example(same(lambda: nn.Linear(5, 3)), floats(5))),
        "linear without bias": (nn.Linear, Example(same(lambda: nn.Linear(5, 3, bias=False)), floats(5))),
        "linear, other outputs": (
            nn.Linear,
            Example(one_of(*(nn.Linear(5, o) for o in (3, 4, 2))), floats(5)),
        ),
        "linear, other inputs": (
            nn.Linear,
            Example(one_of(*(nn.Linear(i, 2) for i in (3, 5, 4))), floats(5), (3, 5, 4)),
        ),
        "large linear": (nn.Linear, Example(same(lambda: nn.Linear(200, 180)), floats(200))),
        "convolution": (nn.Conv2d, Example(same(lambda: nn.Conv2d(4, 6, 3, 2, 1)), floats(*NARROW))),
        "convolution without bias": (
            nn.Conv2d,
            Example(same(lambda: nn.Conv2d(4, 2, 1, bias=False)), floats(*NARROW)),
        ),
        "convolution, other outputs": (
            nn.Conv2d,
            Example(one_of(*(nn.Conv2d(4, o, 3) for o in (3, 4, 2))), floats(*NARROW)),
        ),
        "convolution, other inputs": (
            nn.Conv2d,
            Example(one_of(*(nn.Conv2d(i, 2, 3) for i in (2, 4, 3))), floats(*NARROW), (2, 4, 3)),
        ),
        "dilated convolution": (
            nn.Conv2d,
            Example(same(lambda: nn.Conv2d(4, 2, 3, padding=2, dilation=2)), floats(*NARROW)),
        ),
        "batch norm": (BatchNorm, Example(same(lambda: normal(BatchNorm(5))), floats(5))),
        "batch norm of one sample": (
            BatchNorm,
            Example(same(lambda: normal(BatchNorm(5))), lambda members, _samples: floats(5)(members, 1)),
        ),
        "batch norm of torch": (nn.BatchNorm1d, Example(same(lambda: normal(nn.BatchNorm1d(5))), floats(5))),
        "batch norm, other widths": (
            BatchNorm,
            Example(one_of(*(normal(BatchNorm(w)) for w in (3, 5, 4))), floats(5), (3, 5, 4)),
        ),
        "batch norm of maps": (
            nn.BatchNorm2d,
            Example(same(lambda: normal(nn.BatchNorm2d(4))), floats(*NARROW)),
        ),
        "batch norm of other maps": (
            nn.BatchNorm2d,
            Example(one_of(*(normal(nn.BatchNorm2d(c)) for c in (2, 4, 3))), floats(*NARROW), (2, 4, 3)),
        ),
        "layer norm": (nn.LayerNorm, Example(same(lambda: normal(nn.LayerNorm(5))), floats(5))),
        "layer norm, other widths": (
            nn.LayerNorm,
            Example(one_of(*(normal(nn.LayerNorm(w)) for w in (3, 5, 4))), floats(5), (3, 5, 4)),
        ),
        "group norm": (nn.GroupNorm, Example(same(lambda: normal(nn.GroupNorm(2, 4))), floats(*NARROW))),
        "group norm, other channels": (
            nn.GroupNorm,
            Example(one_of(*(normal(nn.GroupNorm(1, c)) for c in (2, 4, 3))), floats(*NARROW), (2, 4, 3)),
        ),
        "dropout": (
            Dropout,
            Example(one_of(*(Dropout(share) for share in (0.5, 0.0, 0.9))), floats(5)),
        ),
        "dropout of nothing": (Dropout, Example(same(lambda: Dropout(0.0)), floats(5))),
        "dropout of other widths": (
            nn.Sequential,
            Example(
                one_of(*(nn.Sequential(nn.Linear(5, w), Dropout(0.4), nn.Linear(w, 2)) for w in (3, 8, 4))),
                floats(5),
            ),
        ),
        "dropout of maps of other channels": (
            nn.Sequential,
            Example(
                one_of(
                    *(
                        nn.Sequential(
                            nn.Conv2d(4, c, 3),
                            Dropout(0.4),
                            nn.Flatten(),
                            Dropout(0.2),
                            nn.Linear(c * 36, 2),
                        )
                        for c in (3, 8, 4)
                    )
                ),
                floats(*NARROW),
            ),
        ),
        "rectifier": (nn.ReLU, Example(same(nn.ReLU), floats(5))),
        "rectifier of maps": (nn.ReLU, Example(same(nn.ReLU), floats(*NARROW))),
        "mixed activations": (nn.Tanh, Example(one_of(nn.Tanh(), nn.Sigmoid(), nn.ReLU()), floats(5))),
        "activations with settings": (
            nn.LeakyReLU,
            Example(one_of(nn.LeakyReLU(0.1), nn.LeakyReLU(0.1), nn.LeakyReLU(0.3)), floats(5)),
        ),
        "mixed activations of maps": (
            nn.GELU,
            Example(one_of(nn.GELU(), nn.GELU(), nn.ReLU()), floats(*NARROW)),
        ),
        "flatten": (nn.Flatten, Example(same(nn.Flatten), floats(*NARROW))),
        "standardize": (
            Standardize,
            Example(same(lambda: Standardize((100.0, 90.0), (50.0, 60.0))), pixels, learns=False),
        ),
        "standardize, of folds": (
            Standardize,
            Example(
                one_of(*(Standardize((m, 9.0), (50.0, m)) for m in (100.0, 101.0, 102.0))),
                pixels,
                learns=False,
            ),
        ),
        "periodic": (Periodic, Example(same(lambda: Periodic(5)), floats(5))),
        "codes": (Codes, Example(same(lambda: Codes(LEVELS)), categories, learns=False)),
        "codes, few categories": (
            Codes,
            Example(same(lambda: Codes((2, 3))), lambda k, b: [torch.randint(2, (k, b, 2))], learns=False),
        ),
        "codes, some with more categories": (
            Codes,
            Example(one_of(*(Codes((3, 20 + more, 2, 30)) for more in (0, 1, 0))), categories, learns=False),
        ),
        "join": (
            Join,
            Example(
                same(lambda: Join([nn.Sequential(), nn.Sequential(Codes(LEVELS))])), several, learns=False
            ),
        ),
        "join of shared columns": (
            Join,
            Example(
                same(lambda: Join([nn.Sequential(Codes((2, 2))), nn.Sequential(Codes((3,)))])),
                only_categories,
                learns=False,
            ),
        ),
        "join with embedded numbers": (
            Join,
            Example(
                same(lambda: Join([nn.Sequential(Periodic(2)), nn.Sequential(Codes(LEVELS[:1]))])),
                lambda k, b: [torch.randn(k, b, 2), torch.randint(3, (k, b, 1))],
                learns=False,
            ),
        ),
        "sequence": (
            nn.Sequential,
            Example(same(lambda: nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 2))), floats(5)),
        ),
        "nested sequence": (
            nn.Sequential,
            Example(
                same(
                    lambda: nn.Sequential(
                        nn.Sequential(nn.Linear(5, 4), nn.Tanh()), nn.ReLU(), nn.Sequential(nn.Linear(4, 2))
                    )
                ),
                floats(5),
            ),
        ),
        "rectifiers, dropout and norms": (
            Mlp,
            Example(
                one_of(
                    *(
                        Mlp(
                            [
                                nn.Linear(5, w),
                                BatchNorm(w),
                                nn.ReLU(),
                                Dropout(0.3),
                                nn.Linear(w, w),
                                nn.LayerNorm(w),
                                nn.ReLU(),
                                nn.Linear(w, 2),
                            ]
                        )
                        for w in (4, 6, 3)
                    )
                ),
                floats(5),
            ),
        ),
        "perceptron of several fields": (
            Mlp,
            Example(
                same(
                    lambda: Mlp(
                        [
                            Join([nn.Sequential(Periodic(2)), nn.Sequential(Codes(LEVELS))]),
                            nn.LazyLinear(4),
                            nn.SiLU(),
                            nn.Linear(4, 2),
                        ]
                    )
                ),
                several,
                learns=False,
            ),
        ),
        "stage": (Stage, Example(same(lambda: normal(stage(4, 6, 2))), floats(*NARROW))),
        "stage, identity": (
            Stage,
            Example(same(lambda: normal(stage(4, 4, 1, norm="layer"))), floats(*NARROW)),
        ),
        "stage, other channels": (
            Stage,
            Example(one_of(*(normal(stage(4, c, 2, norm="none")) for c in (5, 7, 6))), floats(*NARROW)),
        ),
        "stage, mixed activations": (
            Stage,
            Example(
                one_of(*(normal(stage(4, 6, 2, activation=a)) for a in ("relu", "tanh", "relu"))),
                floats(*NARROW),
            ),
        ),
        "cnn": (Cnn, Example(same(lambda: normal(cnn((3, 4), norm="batch"))), pixels, learns=False)),
        "cnn, other channels": (
            Cnn,
            Example(
                one_of(*(normal(cnn(c, norm="layer", dropout=0.3)) for c in ((3, 4), (4, 6), (2, 5)))),
                pixels,
                learns=False,
            ),
        ),
    }
    | {
        type(module).__name__: (
            type(module),
            Example(same(lambda module=module: copy.deepcopy(module)), floats(5)),
        )
        for module in PLAIN
    }
    | {
        f"{type(module).__name__} of maps": (
            type(module),
            Example(same(lambda module=module: copy.deepcopy(module)), floats(*NARROW)),
        )
        for module in (*PLAIN, *POOL)
    }
)
