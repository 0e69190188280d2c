"""graph-retained: the graphs of earlier steps are kept alive."""

from fitwell.diagnosis import Example, Rule, Source
from fitwell.evidence import any_of
from fitwell.measures.loops import GRAPH_GROWTH, RETAINED, place_of
from fitwell.measures.places import first_of, kept_place
from fitwell.measures.reach import ENDED_IN_OLD_GRAPH, failure_place

_TWICE = "Trying to backward through the graph a second time (or directly access saved tensors)"

RULE = Rule(
    kind="bug",
    severity="warning",
    says="the graphs of earlier steps are kept alive: memory grows from step to step",
    when=any_of(
        # Of five steps in a row the fifth finds four earlier ones; a loss that is kept by a variable makes one.
        RETAINED >= 4,
        # State that is carried on with its graph makes every graph longer than the one before.
        GRAPH_GROWTH >= 3,
        ENDED_IN_OLD_GRAPH.equals(True),
    ),
    because="a tensor with a graph keeps every operation that computed it. total += loss, or a list of losses or "
    "outputs, keeps those of all steps, until memory is full.",
    may_be_wrong_if="the losses of several steps are meant to be propagated back together.",
    remedies=(
        "record numbers: total += loss.item()",
        "detach what is carried on to the next step or collected: state = state.detach()",
    ),
    sources=(
        Source(
            "Frequently asked questions: my model reports out of memory",
            "https://docs.pytorch.org/docs/stable/notes/faq.html",
        ),
    ),
    proves=True,
    explains=("slow-convergence",),
    fires=(
        Example("a state whose graph was propagated back before", {"failure": {"message": _TWICE}}),
        Example(
            "total += loss",
            signals={"graph/retained_losses": [0, 1, 2, 3, 4], "graph/nodes": [9, 9, 9, 9, 9]},
        ),
        Example(
            "a state that is not detached",
            signals={"graph/retained_losses": [0, 1, 1, 1, 1], "graph/nodes": [10, 20, 30, 40, 50]},
        ),
    ),
    quiet=(
        Example(
            "the last three losses are kept",
            {"failure": None},
            signals={"graph/retained_losses": [0, 1, 2, 3, 3, 3], "graph/nodes": [9] * 6},
        ),
        Example(
            "sequences that happen to grow",
            {"failure": None},
            signals={"graph/retained_losses": [0, 0, 0, 0, 0], "graph/nodes": [10, 12, 15, 20, 28]},
        ),
    ),
    where=first_of(kept_place, place_of("graph_growth"), failure_place),
)
