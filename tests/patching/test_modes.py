import pytest

from fitwell.patch import Code
from fitwell.patching.modes import before_training, evaluation, models

TRAINING = """\
for epoch in range(3):
    for x in data:
        net(x).backward()
    net.eval()
    for x in held_out:
        correct = net(x)
"""


def test_training_mode_belongs_before_the_batches_unless_they_are_evaluated_among() -> None:
    code = Code(TRAINING)
    backward = code.statement(3)
    assert backward is not None
    assert before_training(code, backward).lineno == 2
    code = Code("for x in data:\n    net(x).backward()\n    net.eval()\n")
    backward = code.statement(2)
    assert backward is not None
    assert before_training(code, backward).lineno == 2


def test_an_evaluation_is_whole_with_its_loop_and_without_what_trains() -> None:
    code = Code(TRAINING)
    statement = code.statement(6)
    assert statement is not None
    assert evaluation(code, statement).lineno == 5


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("net.train()\ny = net(x)\n", ["net"]),
        ("y = self.model(x)\n", ["self.model"]),
        ("model = Sequential(a)\ny = f(model(x))\n", ["model"]),
        ("y = f(x)\n", []),
    ],
)
def test_the_models_that_a_statement_calls(text: str, found: list[str]) -> None:
    code = Code(text)
    assert models(code, code.tree.body[-1]) == found
