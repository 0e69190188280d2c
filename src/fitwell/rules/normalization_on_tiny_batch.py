"""normalization-on-tiny-batch: batch norm takes its statistics from one to three samples."""

from fitwell.diagnosis import Example, Rule, Source
from fitwell.evidence import for_some
from fitwell.measures.modes import TINY_STEPS, layers


def _layer(calls: dict[str, int], **more: object) -> dict[str, object]:
    layer = {"kind": "batch_norm", "training": calls, "evaluation": {}} | more
    table = [{"name": "bn", "where": {"file": "train.py", "line": 8}}]
    return {"signals": {"running_statistics": {"bn": layer}, "layers": {"table": table}}}


RULE = Rule(
    kind="bug",
    severity="warning",
    says="{layer} normalizes over batches of at most three samples: their mean and variance are noise",
    # A last, smaller batch of an epoch is few of the steps.
    when=for_some("layers with batch norm", layers("batch_norm"), TINY_STEPS > 0.5),
    because="Batch norm divides by the spread within the batch. Of one to three samples that is a poor estimate: the "
    "output of a sample depends on its neighbours, and in evaluation mode, where running averages are used instead, "
    "the model answers as another one. With two samples each value becomes little more than its sign.",
    may_be_wrong_if="images are large, so that many positions are averaged, or one image at a time is normalized on "
    "purpose in training and evaluation alike.",
    remedies=(
        "use larger batches; gradient accumulation does not help, for each small batch is normalized alone",
        "replace batch norm by GroupNorm or LayerNorm, which do not look at other samples",
    ),
    sources=(
        Source("Group Normalization (Wu and He, 2018)", "https://arxiv.org/abs/1803.08494"),
        Source("Batch Renormalization (Ioffe, 2017)", "https://arxiv.org/abs/1702.03275"),
    ),
    proves=True,
    explains=("loss-oscillates", "batch-size-too-small", "slow-convergence"),
    fires=(Example("batches of two", _layer({"train": 8}, tiny=8, fewest_samples=2, most_samples=2)),),
    quiet=(
        Example("some small batches", _layer({"train": 20}, tiny=9, fewest_samples=1, most_samples=32)),
        Example("batches of 32", _layer({"train": 8}, tiny=0, fewest_samples=32, most_samples=32)),
    ),
)
