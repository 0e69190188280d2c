"""gradient-path-cut: layers that ran and are optimized never get a gradient, though what comes after them does."""

from fitwell.diagnosis import Example, Rule, Source
from fitwell.evidence import all_of, any_of
from fitwell.measures.places import cut_place
from fitwell.measures.reach import (
    CUT_LAYERS,
    DETACHED_LOSSES,
    FLAT_OPERATIONS,
    FORGOTTEN,
    LOOKS,
    PARAMETERS,
    REACHED,
    REACHED_ANYWHERE,
    UNREACHED_LAYERS,
    ZERO_GRADIENTS,
)


def _path(cut: int = 0, looks: int = 5, flat: int = 0, zero: int = 0, **more: int) -> dict[str, object]:
    thread = {"looks": looks, "parameters": 4, "reached": more.get("reached", 2), "cut": {"count": cut}}
    thread |= {
        "unreached": {"count": more.get("unreached", 0)},
        "ran": 5,
        "detached_losses": more.get("detached", 0),
    }
    always = {"always_missing": {"count": 4 - thread["reached"]}, "always_zero": {"count": zero}}  # type: ignore[operator]
    coverage = {
        "backwards": looks,
        "reached_parameters": more.get("anywhere", 2),
        "threads": {"model": thread},
    }
    coverage |= {
        "flat_operations": ["sign"] * flat,
        "not_in_optimizer": {"forgotten": more.get("forgotten", 0)},
    }
    gradients = {"model": {"parameters": 4, **always}}
    return {"signals": {"coverage": coverage, "missing_gradients": gradients}}


RULE = Rule(
    kind="bug",
    severity="error",
    says="the path of the gradient is cut inside the model: layers before the cut never get one",
    when=all_of(
        LOOKS >= 2,
        any_of(
            # An output that is not used has layers before it that are reached; before a cut there are none.
            CUT_LAYERS > 0,
            # One of several outputs is cut off on its way to its loss: at every step that loss has no graph.
            all_of(UNREACHED_LAYERS > 0, DETACHED_LOSSES >= 1),
            # sign, round, ... pass on a gradient of zero.
            all_of(FLAT_OPERATIONS > 0, ZERO_GRADIENTS > 0),
            # A whole model is cut off, while gradients reach another one, such as the discriminator of a GAN.
            all_of(PARAMETERS > 0, REACHED <= 0, REACHED_ANYWHERE > 0, FORGOTTEN <= 0),
        ),
    ),
    because="detach, .data, no_grad, NumPy, torch.tensor, a comparison or rounding between two layers end the "
    "path of the gradient there: the layers before stay as they were initialized, while those after them "
    "learn, which hides the fault.",
    may_be_wrong_if="the layers are meant to stay at their random values, although the optimizer holds them.",
    remedies=(
        "remove what cuts the path: pass tensors on as they are",
        "give a discrete operation a straight-through gradient: h + (round(h) - h).detach()",
    ),
    sources=(
        Source("Autograd mechanics", "https://docs.pytorch.org/docs/stable/notes/autograd.html"),
        Source(
            "Estimating or propagating gradients through stochastic neurons",
            "https://arxiv.org/abs/1308.3432",
        ),
    ),
    proves=True,
    explains=("unused-parameters",),
    fires=(
        Example("detach behind the encoder", _path(cut=1), thread="model"),
        Example("sign behind the encoder", _path(flat=1, zero=2), thread="model"),
        Example("the second output is detached", _path(unreached=1, detached=5), thread="model"),
        Example("a generator whose samples are detached", _path(reached=0), thread="model"),
    ),
    quiet=(
        Example("one step", _path(cut=1, looks=1, flat=1, zero=1), thread="model"),
        Example("a zero gradient for another reason", _path(zero=2), thread="model"),
        Example("rounding beside the path", _path(flat=1), thread="model"),
        Example("an output that is not used", _path(unreached=1, detached=4), thread="model"),
        Example("a score is computed beside the loss", _path(detached=5), thread="model"),
        Example("reached", _path(), thread="model"),
        Example("nothing is reached at all", _path(reached=0, anywhere=0), thread="model"),
        Example("gradients go to what no optimizer holds", _path(reached=0, forgotten=4), thread="model"),
        Example(
            "nothing to reach",
            {
                "signals": {
                    "coverage": {
                        "backwards": 5,
                        "reached_parameters": 2,
                        "flat_operations": [],
                        "not_in_optimizer": {"forgotten": 0},
                        "threads": {
                            "model": {
                                "looks": 5,
                                "parameters": 0,
                                "reached": 0,
                                "cut": {"count": 0},
                                "unreached": {"count": 0},
                            }
                        },
                    },
                    "missing_gradients": {
                        "model": {
                            "parameters": 4,
                            "always_zero": {"count": 0},
                            "always_missing": {"count": 0},
                        }
                    },
                }
            },
            thread="model",
        ),
    ),
    where=cut_place,
)
