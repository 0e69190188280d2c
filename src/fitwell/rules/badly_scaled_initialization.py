"""badly-scaled-initialization: the first weights are so large or so small that signals explode or vanish."""

from fitwell.diagnosis import Example, Rule, Source
from fitwell.evidence import all_of, any_of
from fitwell.experiment import Change, Check
from fitwell.measures.curves import FALL
from fitwell.measures.model_places import scaled_initially_place
from fitwell.measures.places import first_of
from fitwell.measures.structure import (
    FIRST_LOSS,
    LARGEST_GAIN,
    NORMALIZED,
    OUTPUT_SPREAD,
    TYPICAL_GAIN,
    scaled_place,
)


def _facts(gain: float, norm: bool = False) -> dict[str, object]:
    rows = [{"name": name, "class": "Linear"} for name in ("fc1", "fc2", "fc3")]
    rows += [{"name": "norm", "class": "LayerNorm"}] * norm
    weights = [{"layer": row["name"], "units": 8, "gain": gain, "zero": False} for row in rows[:3]]
    place = {"function": "cross_entropy", "part": "train", "outputs": 10}
    signals = {"initial_weights": weights, "layers": {"table": rows}, "loss_inputs": {"places": [place]}}
    return {"signals": signals}


def _losses(first: float, last: float, spread: float = 1.0) -> dict[str, tuple[float, ...]]:
    losses = {"loss/batch": (first,), "loss/train": (first, last, last, last)}
    return losses | {"layer/fc3/activation_std": (spread,)}


RULE = Rule(
    kind="cause",
    severity="warning",
    says="the first weights are badly scaled: what passes through the layers explodes or vanishes",
    when=any_of(
        # 1.4 of He, 1 of Xavier, 0.6 of torch; a normal distribution of deviation 1 with 64 inputs has 8.
        all_of(LARGEST_GAIN > 4, FIRST_LOSS > 2),
        # Of a loss of the program's own nobody knows how large it may be, but each layer adds to what is too large.
        all_of(TYPICAL_GAIN > 4, OUTPUT_SPREAD > 10, NORMALIZED.equals(False)),
        # Deviation 0.001 with 64 inputs has 0.008. Normalization layers undo what is too small.
        all_of(TYPICAL_GAIN < 0.15, NORMALIZED.equals(False), FALL < 0.2),
    ),
    because="A layer multiplies the size of its input by about the root of its number of inputs times the root mean "
    "square of its weights. If that is far from one, outputs and gradients grow or shrink with every layer: the "
    "first loss is far above that of a guess, or nothing that is learned reaches the first layers.",
    may_be_wrong_if="the scale is meant, such as in a layer of random features.",
    remedies=(
        "leave out the initialization of your own: torch's default fits its layers",
        "use nn.init.kaiming_normal_ before ReLU, nn.init.xavier_uniform_ before tanh",
    ),
    sources=(
        Source("Delving Deep into Rectifiers (He et al., 2015)", "https://arxiv.org/abs/1502.01852"),
        Source(
            "Understanding the difficulty of training (Glorot and Bengio, 2010)",
            "https://proceedings.mlr.press/v9/glorot10a.html",
        ),
    ),
    proves=False,
    verdict="underfitting",
    explains=(
        "exploding-gradients",
        "vanishing-gradients",
        "saturated-activations",
        "dead-units",
        "loss-plateau",
        "loss-oscillates",
        "slow-convergence",
        "loss-not-finite",
        "underfitting",
        "learning-rate-too-high",
        "learning-rate-too-low",
        "class-imbalance",
    ),
    check=Check((Change("initialize", {"scheme": "kaiming"}),), least=0.2, steps=60),
    suspects=any_of(
        LARGEST_GAIN > 4,
        all_of(TYPICAL_GAIN < 0.3, NORMALIZED.equals(False), FALL < 0.5),
    ),
    fires=(
        Example("a normal distribution of deviation 1", _facts(20), _losses(300.0, 2.0)),
        Example("deviation 1, and a loss of its own", _facts(20), {"layer/fc3/activation_std": (300.0,)}),
        Example("deviation 0.001", _facts(0.01), _losses(2.3, 2.3)),
    ),
    quiet=(
        Example("large, no harm", _facts(4.5), _losses(4.4, 2.3, spread=9.0)),
        Example("large, with normalization", _facts(4.5, norm=True), _losses(2.3, 2.0, spread=300.0)),
        Example("large but not too large", _facts(3.5), _losses(300.0, 2.0, spread=300.0)),
        Example("small, no harm", _facts(0.1), _losses(2.3, 1.75)),
        Example("small, with normalization", _facts(0.1, norm=True), _losses(2.3, 2.3)),
        Example("small but not too small", _facts(0.17), _losses(2.3, 2.3)),
    ),
    where=first_of(scaled_initially_place, scaled_place),
)
