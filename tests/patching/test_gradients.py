import pytest

from fitwell.patch import Code
from fitwell.patching.gradients import clears, feeds, trains
from fitwell.patching.optimizers import steps


@pytest.mark.parametrize(
    ("text", "does"),
    [
        ("loss.backward()\n", True),
        ("run()\n\ndef run():\n    step_once()\n\ndef step_once():\n    loss.backward()\n", True),
        ("opt.step(closure)\n\ndef closure():\n    loss.backward()\n", True),
        ("def later():\n    loss.backward()\n", False),
        ("evaluate()\n\ndef evaluate():\n    evaluate()\n", False),
    ],
)
def test_a_training_is_told_also_through_functions_and_closures(text: str, does: bool) -> None:
    code = Code(text)
    assert trains(code, code.tree.body[0]) is does


def test_a_step_is_fed_by_what_is_propagated_back_since_the_step_before() -> None:
    code = Code(
        "a.backward()\nopt_a.step()\nopt_b.zero_grad()\nb.backward()\nc.backward()\nopt_b.step()\nopt.step()\n"
    )
    fed = [feeds(code, step) for step in steps(code)]
    assert [None if each is None else code.segment(each) for each in fed[:2]] == [
        "a.backward()",
        "b.backward()",
    ]
    assert [text for _, text in clears(code)] == ["opt_b"]
