"""``fitwell rules``: what can be found, and one rule in full."""

import json
from pathlib import Path

from fitwell import cli
from fitwell.diagnosing import rules


def test_all_rules_are_listed_in_groups(fitwell) -> None:
    done = fitwell("rules")
    assert done.code == 0
    assert done.out.startswith("bugs: ")
    assert all(f" {name} " in done.out for name in rules())


def test_a_rule_has_a_page(fitwell) -> None:
    done = fitwell("rules", "shape-mismatch")
    rule = rules()["shape-mismatch"]
    text = " ".join(done.out.split())
    for part in ("bug, error", "a proof", rule.because, rule.may_be_wrong_if, *rule.remedies,
                 "for one of the errors that ended the program", *(e.text for e in rule.fires + rule.quiet),
                 *(source.address for source in rule.sources)):  # fmt: skip
        assert part in text


def test_json_is_one_object_or_a_list_of_all(fitwell) -> None:
    every = json.loads(fitwell("rules", "--json").out)
    one = json.loads(fitwell("rules", "shape-mismatch", "--json").out)
    assert [each["name"] for each in every] == list(rules())
    assert one in every
    assert (one["kind"], one["proves"]) == ("bug", True)


def test_a_wrong_name_is_refused(refused) -> None:
    assert "did you mean shape-mismatch?" in refused(cli.USAGE, "rules", "shape-mismach")


def test_pages_are_written_into_a_folder(fitwell, tmp_path: Path) -> None:
    done = fitwell("rules", "--markdown", tmp_path / "pages")
    assert done.out.startswith(f"{len(rules()) + 1} pages")
    assert len(list((tmp_path / "pages").glob("*.md"))) == len(rules()) + 1
