"""The pages of the documentation are those of the rules."""

from pathlib import Path

import pytest

from fitwell.diagnosing import rules
from fitwell.views.rule_pages import INDEX, pages, plain, write

DOCS = Path(__file__).parents[2] / "docs" / "rules"


def test_the_pages_are_up_to_date():
    if not DOCS.is_dir():
        pytest.skip("the pages are not made yet: make pages")
    written = {path.name: path.read_text(encoding="utf-8") for path in DOCS.glob("*.md")}
    made = pages(rules())
    stale = sorted(name for name in {*written, *made} if written.get(name) != made.get(name))
    assert not stale, f"`make pages` writes {', '.join(stale)} anew"


def test_a_page_has_everything_that_the_rule_says():
    rule = rules()["shape-mismatch"]
    page = pages(rules())["shape-mismatch.md"]
    for part in ("# shape-mismatch\n", rule.because, rule.may_be_wrong_if, "for one of the errors", "a proof",
                 *(f"- {text}" for text in rule.remedies), *(source.address for source in rule.sources)):  # fmt: skip
        assert part in page


def test_the_index_links_each_page_once():
    index = pages(rules())[INDEX]
    assert all(index.count(f"({name}.md)") == 1 for name in rules())


def test_pages_of_rules_that_are_gone_are_removed(tmp_path: Path):
    write({"gone": rules()["shape-mismatch"]}, tmp_path / "pages")
    (tmp_path / "pages" / "notes.md").write_text("# notes\n\nThey are a person's.")
    some = {name: rules()[name] for name in ("shape-mismatch", "dtype-mismatch")}
    assert write(some, tmp_path / "pages") == 3
    kept = {INDEX, "dtype-mismatch.md", "notes.md", "shape-mismatch.md"}
    assert {path.name for path in (tmp_path / "pages").iterdir()} == kept


def test_a_rule_as_json_has_its_condition_as_lines():
    told = plain("shape-mismatch", rules()["shape-mismatch"])
    assert told["when"][0] == "for one of the errors that ended the program:"
    assert (told["severity"], told["proves"]) == ("error", True)
