"""clipping-misplaced: gradients are clipped at a time when that has no effect, or the wrong one."""

from fitwell.diagnosis import Example, Rule, Source
from fitwell.evidence import any_of
from fitwell.measures.loops import CLIP_AFTER_STEP, CLIP_BEFORE_BACKWARD, CLIP_BEFORE_UNSCALE, place_of


def _clips(**counts: int) -> dict[str, object]:
    return {"signals": {"call_order": {"steps": 20, "clipped": 20, **counts}}}


RULE = Rule(
    kind="bug",
    severity="warning",
    says="gradients are clipped at the wrong time: before backward, after the step, or while they are scaled",
    when=any_of(
        # A loop does it at every step or at none; half of them leaves room for steps that are seen in part.
        CLIP_BEFORE_BACKWARD > 0.5,
        CLIP_AFTER_STEP > 0.5,
        CLIP_BEFORE_UNSCALE > 0.5,
    ),
    because="clipping changes the gradients that are there when it is called. Before backward and after the step "
    "it changes nothing that is used; scaled gradients are far above any limit, so that each step is "
    "shrunk by the scale.",
    may_be_wrong_if="gradients of an earlier pass are clipped on purpose before more are added.",
    remedies=(
        "clip between backward and optimizer.step()",
        "with a GradScaler call scaler.unscale_(optimizer) before clipping",
    ),
    sources=(
        Source(
            "clip_grad_norm_",
            "https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.clip_grad_norm_.html",
        ),
        Source(
            "Gradient clipping with scaled gradients",
            "https://docs.pytorch.org/docs/stable/notes/amp_examples.html#gradient-clipping",
        ),
    ),
    proves=True,
    explains=(
        "exploding-gradients",
        "learning-rate-too-low",
    ),
    fires=(
        Example("before backward", _clips(clip_before_backward=20)),
        Example("after the step", _clips(clip_after_step=19)),
        Example("scaled", _clips(clip_before_unscale=20)),
    ),
    quiet=(
        Example("in its place", _clips()),
        Example(
            "misplaced now and then", _clips(clip_before_backward=9, clip_after_step=9, clip_before_unscale=9)
        ),
    ),
    where=place_of("call_order", "clip_before_backward", "clip_after_step", "clip_before_unscale"),
)
