"""The page of a watched run stands alone, and says what was seen and what was not."""

import re
from html.parser import HTMLParser

import pytest

from fitwell.views.report import report_html, write_report

VOID = {"meta", "img", "br", "hr", "input", "link"}


class Page(HTMLParser):
    """The text of a page; fails where an element is not closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.text = [], [], ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_the_page_says_what_the_run_says(make_watched, failure):
    facts = {"failure": failure, "unseen": {"modules": "torch.compile is used"}}
    text = Page(report_html(make_watched(facts=facts, state="failed"))).text
    for part in ("train.py", "overfitting", "the validation loss rose", "91.23 %", "400", "101,770", "1.2 %",
                 "mat1 and mat2", "/home/me/train.py:31 in Net.forward", "weight (10, 65), bias (10)",
                 "watch it once without torch.compile", "How did it learn?", "Layer by layer",
                 "3 layers in figures", "Linear (frozen)", "entropy at train.py:15"):  # fmt: skip
        assert part in text


def test_each_thread_has_a_section(make_watched):
    html = report_html(make_watched(threads=["generator", "critic"]))
    assert "How did generator learn?" in html
    assert "How did critic learn?" in html
    assert html.count("<svg") == 6


def test_the_page_loads_nothing(make_watched):
    html = re.sub(r"base64,[\w+/=\s]+", "", report_html(make_watched()))
    assert not re.search(r"https?:|//[a-z]|@import|javascript:", html)
    assert "script" not in Page(html).tags


@pytest.mark.parametrize(
    "made",
    [
        {"facts": None, "state": "running", "result": None},
        {"steps": 0, "facts": None},
        {"steps": 0},
        {"steps": 0, "facts": None, "state": "failed", "error": "ImportError: no foo", "result": None},
        {"steps": 2, "layers": [], "validated": False},
    ],
)
def test_whatever_is_missing_there_is_a_page(make_watched, made):
    run = make_watched(**made)
    assert write_report(run) == run.path / "report.html"
    assert "None" not in Page((run.path / "report.html").read_text(encoding="utf-8")).text


def test_hostile_names_stay_text(make_watched, failure):
    evil = '</style></title><script>alert(1)</script>"><img src=x onerror=alert(1)>'
    facts = {
        "models": [{"name": evil, "class": evil}], "unseen": {evil: evil},
        "failure": dict.fromkeys(("type", "message"), evil) | {"where": {"file": evil, "text": evil}},
    }  # fmt: skip
    html = report_html(
        make_watched(threads=[evil.replace("/", ""), evil], layers=[evil], facts=facts, data=evil, program={})
    )
    page = Page(html)
    assert "script" not in page.tags
    assert "img" not in page.tags
    assert evil in page.text
