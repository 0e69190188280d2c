"""The page of a study stands by itself, says what the study says, and obeys nothing that is in it."""

import re
import sys
from html import escape
from html.parser import HTMLParser
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from studies import TUNED, capacity_summary, cv_summary, make_study, samples_summary, search, verified

from fitwell.run import find_run
from fitwell.views.report import write_report

SUMMARIES = {"cv": cv_summary(), "capacity": capacity_summary(), "samples": samples_summary(), "tune": None}


class Tags(HTMLParser):
    """All elements, which must be closed in order."""

    VOID = ("meta", "img", "br", "path", "use")

    def __init__(self):
        super().__init__()
        self.open, self.seen = [], []

    def handle_starttag(self, tag, attributes):
        self.seen.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.seen.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag


def page_of(study):
    path = write_report(find_run(study.name, study.path.parent))
    assert path == study.path / "report.html"
    text = path.read_text(encoding="utf-8")
    tags = Tags()
    tags.feed(text)
    assert tags.open == []
    assert not [tag for tag, _ in tags.seen if tag in ("script", "link", "iframe")]
    assert not re.search(r'(?:src|href)="(?!data:|#)', text)
    return text


def test_a_search_has_its_best_its_pictures_its_stages_and_every_trial(tmp_path):
    summary = {"verified": verified([0.98, 0.99], [0.97, 0.975], mean=0.01, low=0.002, high=0.02)}
    made = make_study(tmp_path, trials=search(), **TUNED, summary=summary)
    text = page_of(made)
    for part in (
        "What is best?", "better by 0.01", "How do they compare?", "What was gone through?",
        "lr 0.006",
        "24 trials in figures", "the loss became nan", "the range was extended to 1", "Which plan was varied?",
        "Where was it trained?",
        f"{100 * made.best.score:.2f} %", "1 min 23 s",
    ):  # fmt: skip
        assert part in text, part
    assert text.count("<svg") == 3
    every = text[text.index("Every trial, by number") :]
    rows = re.findall(r"<tr><th scope=row>(\d+)</th>", every[: every.index("</table>")])
    assert rows == [str(number) for number in range(1, 25)]


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("cv", "accuracy 0.96 (95 % interval 0.949 to 0.971) over 3 folds"),
        ("capacity", "64 units are just right"),
        ("samples", "more data would help"),
    ],
)
def test_each_kind_says_what_came_of_it(tmp_path, kind, told):
    text = page_of(make_study(tmp_path, kind, [{"score": 0.9}], summary=SUMMARIES[kind], space={}))
    assert told in text
    assert text.count("<svg") == 1


@pytest.mark.parametrize("kind", SUMMARIES)
@pytest.mark.parametrize("trials", [[], [{"score": None}], [{"score": 0.5}]])
def test_a_study_that_was_interrupted_says_how_it_goes_on(tmp_path, kind, trials):
    made = make_study(tmp_path, kind, trials, "preempted")
    text = page_of(made)
    assert f"`fitwell resume {made.name}` goes on" in text
    assert "None" not in text
    assert "nan" not in re.sub(r"<svg.*?</svg>", "", text, flags=re.DOTALL)


def test_texts_of_the_study_are_escaped(tmp_path):
    evil = "<script>alert(1)</script>"
    trials = [{"score": 0.5, "verdict": evil, "values": {"lr": 0.1}}, {"state": "failed", "reason": evil}]
    stages = [{"name": evil, "trials": [1], "best": 1, "found": evil}]
    text = page_of(make_study(tmp_path, trials=trials, stages=stages, notes=[evil]))
    assert evil not in text
    assert escape(evil) in text
