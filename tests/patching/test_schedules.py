import pytest

from fitwell.evidence import View
from fitwell.patch import Code
from fitwell.patching.schedules import scheduled, scheduler_calls, schedules
from fitwell.remedy import About

LOOP = """\
import torch
opt = torch.optim.SGD(p, lr=0.1)
for x in data:
    f(x).backward()
    opt.step()
"""


def test_a_schedule_goes_on_with_every_step() -> None:
    code = Code(LOOP)
    assert (
        code.edited(scheduled(code, About("slow-convergence", View({})), "{module}.ConstantLR({optimizer})"))
        == """\
import torch
opt = torch.optim.SGD(p, lr=0.1)
schedule = torch.optim.lr_scheduler.ConstantLR(opt)
for x in data:
    f(x).backward()
    opt.step()
    schedule.step()
"""
    )


@pytest.mark.parametrize(
    "text",
    [
        LOOP + "s = torch.optim.lr_scheduler.StepLR(opt, 3)\n",
        LOOP + 'for group in opt.param_groups:\n    group["lr"] = 0.1\n',
        LOOP.replace("opt.step()", "optimizer.step()"),
        "def make():\n    opt = SGD(p, lr=0.1)\n    return opt\n\nimport torch\nopt.step()\n",
    ],
    ids=["another one", "by hand", "another name", "out of sight"],
)
def test_no_schedule_is_added(text: str) -> None:
    assert (
        scheduled(Code(text), About("slow-convergence", View({})), "{module}.ConstantLR({optimizer})") == []
    )


def test_a_program_that_sets_its_rate_is_known() -> None:
    assert schedules(Code("s = CosineAnnealingLR(opt, 3)\n"))
    assert not schedules(Code("lr = 0.1\n"))


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("s = StepLR(opt, 3)\ns.step()\nopt.step()\n", 1),
        ("self.lr_scheduler.step()\n", 1),
        ("env.step()\nopt.step()\n", 0),
    ],
)
def test_the_steps_of_schedulers_are_told_from_others(text: str, count: int) -> None:
    assert len(scheduler_calls(Code(text))) == count
