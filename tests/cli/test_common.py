"""What several commands share."""

import pytest

from fitwell.cli.common import known_rule
from fitwell.diagnosing import rules
from fitwell.errors import PlanError


def test_a_rule_is_known_by_the_name_of_its_finding() -> None:
    assert known_rule("shape-mismatch") is rules()["shape-mismatch"]


@pytest.mark.parametrize(
    ("name", "fix"), [("shape-mismach", "did you mean shape-mismatch?"), ("zzz", "see `fitwell rules`")]
)
def test_another_name_is_refused_with_the_nearest(name: str, fix: str) -> None:
    with pytest.raises(PlanError) as refused:
        known_rule(name)
    assert (refused.value.happened, refused.value.fix) == (f"no rule is called {name!r}", fix)
