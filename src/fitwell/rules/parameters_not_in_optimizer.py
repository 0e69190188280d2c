"""parameters-not-in-optimizer: parameters get gradients, and no optimizer updates them."""

from fitwell.diagnosis import Example, Rule, Source
from fitwell.evidence import all_of, any_of
from fitwell.measures.reach import (
    FORGOTTEN,
    FORGOTTEN_TENSORS,
    LOOKS,
    OF_MODULES,
    REACHED,
    UNHELD,
    optimizer_place,
)


def _held(
    forgotten: int, unheld: int = 0, modules: bool = True, looks: int = 5, reached: int = 4, plain: int = 0
) -> dict[str, object]:
    left = {"parameters": unheld or forgotten, "forgotten": forgotten, "plain": plain}
    thread = {"looks": looks, "parameters": 4, "reached": reached, "of_modules": 4 if modules else 0}
    empty = {"parameters": 4, "always_missing": {"count": 4 - reached}, "always_zero": {"count": 0}}
    coverage = {"backwards": looks, "not_in_optimizer": left, "threads": {"model": thread}}
    return {"signals": {"coverage": coverage, "missing_gradients": {"model": empty}}}


RULE = Rule(
    kind="bug",
    severity="error",
    says="parameters receive gradients and are held by no optimizer: they never change",
    when=all_of(
        LOOKS >= 2,
        any_of(
            # Where an image or a sample is optimized, the model that judges it stays as it is.
            # Weights that were loaded, or that an earlier optimizer trained, may be left as they are.
            all_of(OF_MODULES > 0, FORGOTTEN > 0),
            # The optimizer holds a copy that is not in use any more.
            all_of(OF_MODULES > 0, UNHELD > 0, REACHED <= 0),
            # A model of plain tensors, of which some are left out.
            all_of(OF_MODULES <= 0, UNHELD <= 0, FORGOTTEN_TENSORS > 0),
        ),
    ),
    because="an optimizer updates the parameters that it was given when it was made. A layer that is replaced or "
    "made later, a model that is made anew or copied, and layers in a plain Python list are not among "
    "them.",
    may_be_wrong_if="some parameters are meant to stay at their random values, and only save themselves "
    "requires_grad=False.",
    remedies=(
        "make the optimizer after the model is complete, from model.parameters()",
        "hold layers in nn.ModuleList, not in a list; add further parameters with optimizer.add_param_group",
    ),
    sources=(
        Source(
            "torch.optim: constructing it", "https://docs.pytorch.org/docs/stable/optim.html#constructing-it"
        ),
        Source("ModuleList", "https://docs.pytorch.org/docs/stable/generated/torch.nn.ModuleList.html"),
    ),
    proves=True,
    explains=(
        "optimizer-never-steps",
        "loss-detached",
        "gradient-path-cut",
        "unused-parameters",
        "parameters-frozen",
    ),
    fires=(
        Example("a new head", _held(2), thread="model"),
        Example("a loaded model made anew", _held(0, 4, reached=0), thread="model"),
        Example("weights as plain tensors", _held(0, modules=False, plain=2), thread="model"),
    ),
    quiet=(
        Example("all are held", _held(0), thread="model"),
        Example("all plain tensors are held", _held(0, modules=False), thread="model"),
        Example("points that a model is given, with a gradient", _held(0, plain=1), thread="model"),
        Example("an image of plain tensors", _held(4, modules=False, plain=1), thread="model"),
        Example("too early", _held(2, looks=1, reached=0), thread="model"),
        Example("an image is optimized", _held(4, modules=False, reached=0), thread="model"),
        Example("a loaded backbone below a head", _held(0, 4), thread="model"),
        Example("no gradient at all", _held(0, 0, reached=0), thread="model"),
    ),
    where=optimizer_place,
)
