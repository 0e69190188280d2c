"""The page stands alone, believes no text of the run, and says what the run says."""

import re
from html.parser import HTMLParser

import pytest

from fitwell.errors import RunError
from fitwell.plan import Plan
from fitwell.views import report

VOID = {"meta", "img", "br", "hr", "input", "link"}
EVIL = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</style></title><svg onload=alert(1)>",
]


class Page(HTMLParser):
    """The elements of a page; fails where one is not closed."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.text = [], [], ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def tags(self, name):
        return [attrs for tag, attrs in self.elements if tag == name]


@pytest.fixture(scope="module")
def page_of():
    return lambda run: Page(report.report_html(run))


def test_the_page_says_what_the_run_says(make_run, page_of):
    run = make_run(extra={"baseline/val/accuracy": 0.9, "baseline/test/accuracy": 0.9951})
    text = page_of(run).text
    for part in ("just right", "validation loss settled", "98.33 %", "1.30 pt", "9 of 10", "101,770",
                 "99.51 %", "gradient boosting (scikit-learn)", "The baseline is better here", "sample 17",
                 "98% sure",
                 "no --target was given", "optimizer.lr", "0.003", run.name, "torch"):  # fmt: skip
        assert part in text


def test_the_page_loads_nothing_and_runs_nothing(make_run, page_of):
    html = report.report_html(make_run())
    page = Page(html)
    assert not re.search(r"https?:|//[a-z]|@import|javascript:", html)
    assert {"script", "link", "iframe", "object", "base"}.isdisjoint(tag for tag, _ in page.elements)
    policy = next(meta["content"] for meta in page.tags("meta") if "http-equiv" in meta)
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    sources = [
        value for _, attrs in page.elements for name, value in attrs.items() if name.endswith(("src", "href"))
    ]
    assert all(source.startswith(("data:image/", "#")) for source in sources)


def test_hostile_names_stay_text(make_run, page_of, classes_evaluation):
    evil = "".join(EVIL)
    evaluation = classes_evaluation([evil, "b", evil + "2"])
    evaluation["mistakes"][0] |= {
        "picture": f'data:image/png;base64,"{evil}',
        "values": {evil: evil},
        "row": evil,
    }
    run = make_run(evaluation=evaluation, data=evil, notes=[evil])
    run.update(result=run.result | {"verdict_reason": evil})
    (run.path / "plan.json").write_text(Plan(data=evil).change(target=evil).to_json())
    page = page_of(run)
    assert page.text.count(evil) >= 8
    assert not page.tags("script")
    assert not any(name.startswith("on") for _, attrs in page.elements for name in attrs)
    harmless = page_of(make_run(evaluation=classes_evaluation(["a", "b", "c"])))
    assert {tag for tag, _ in page.elements} <= {tag for tag, _ in harmless.elements}


def test_a_picture_is_shown_only_if_it_is_one(make_run, page_of, classes_evaluation, pixel):
    evaluation = classes_evaluation(["a", "b"])
    evaluation["mistakes"] = [
        {"row": "1", "true": "a", "predicted": "b", "picture": picture}
        for picture in (
            pixel,
            "https://example.org/a.png",
            "data:text/html;base64,AAAA",
            "javascript:alert(1)",
        )
    ]
    pictures = page_of(make_run(evaluation=evaluation)).tags("img")
    assert [picture["src"] for picture in pictures] == [pixel]
    assert pictures[0]["alt"] == "1: a, taken for b"


def test_the_page_can_be_read_by_everybody(make_run, page_of):
    page = page_of(make_run())
    assert page.tags("html") == [{"lang": "en"}]
    assert len(page.tags("caption")) == len(page.tags("table")) >= 3
    assert all(heading.get("scope") in ("col", "row") for heading in page.tags("th"))
    assert all(figure.get("aria-label") for figure in page.tags("figure"))
    assert len(page.tags("h1")) == len(page.tags("main")) == 1


def test_colours_follow_the_page_into_the_dark(make_run):
    html = report.report_html(make_run())
    used = set(re.findall(r"var\((--[a-z-]+)\)", html))
    assert used <= set(re.findall(r"(--[a-z-]+):", html)), "every colour is defined"
    drawing = re.search(r"<svg.*?</svg>", html, flags=re.DOTALL).group()
    assert not re.findall(r"#[0-9a-f]{6}\b", drawing), "no colour of the picture is fixed"
    assert "prefers-color-scheme:dark" in html
    assert "@media print" in html


def test_the_confusion_matrix_is_heated_by_its_shares(make_run, page_of):
    evaluation = {"part": "test", "classes": ["a", "b"], "confusion": [[8, 2], [0, 10]], "mistakes": []}
    cells = [cell.get("style", "") for cell in page_of(make_run(evaluation=evaluation)).tags("td")]
    assert [cell for cell in cells if cell] == [
        "background:rgb(var(--good-rgb) / 0.40)",
        "background:rgb(var(--validation-rgb) / 0.70)",
        "background:rgb(var(--good-rgb) / 0.50)",
    ]


def test_numbers_have_a_scatter_plot_and_no_matrix(make_run, page_of):
    mistakes = [{"row": "row 4", "true": 300.0, "predicted": 120.5}]
    evaluation = {"part": "val", "true": [1.0, 2.0], "predicted": [1.0, 2.5], "mistakes": mistakes}
    page = page_of(make_run(metric="r2", evaluation=evaluation))
    assert len(page.tags("figure")) == 2
    assert "120.5" in page.text
    assert "taken for what" not in page.text


def test_a_run_without_target_has_a_page(make_run, page_of):
    page = page_of(make_run(metric="", evaluation={}))
    assert "0.0481" in page.text
    assert "Where is it wrong" not in page.text


def test_parts_are_in_columns_and_what_is_missing_is_a_dash(make_run):
    rows = dict(report.parts(make_run(extra={"baseline/test/accuracy": 0.5, "test/balanced_accuracy": 0.75})))
    assert rows["loss"] == ["0.0123", "0.0456", "0.0481"]
    assert rows["balanced accuracy"] == ["-", "-", "75.00 %"]
    assert rows["accuracy of gradient boosting (scikit-learn)"] == ["-", "-", "50.00 %"]


@pytest.mark.parametrize(("metric", "net", "other", "better"), [
    ("accuracy", 0.9, 0.95, True), ("accuracy", 0.95, 0.9, False), ("accuracy", 0.9, 0.9, False),
    ("r2", 0.5, 0.7, True), ("mae", 3.0, 2.0, True), ("mae", 2.0, 3.0, False),
])  # fmt: skip
def test_which_is_better_depends_on_the_metric(make_run, metric, net, other, better):
    extra = {f"test/{metric}": net, f"baseline/test/{metric}": other}
    assert bool(report.baseline_sentence(make_run(metric=metric, extra=extra))) is better


def test_the_command_that_reproduces_survives_a_shell(make_run):
    run = make_run()
    (run.path / "plan.json").write_text(
        Plan(data="my data; rm -rf.csv").change(target="a'b", lr=0.01).to_json()
    )
    command = report.reproduction(run)
    assert command.startswith("fitwell train 'my data; rm -rf.csv' --target 'a'\"'\"'b'")
    assert "--lr 0.01" in command
    assert "auto" not in command


def test_an_unfinished_run_has_no_report(make_run):
    with pytest.raises(RunError, match="no result yet"):
        report.write_report(make_run(result=None, state="running"))


def test_write_report_replaces_the_page(make_run):
    run = make_run()
    (run.path / "report.html").write_text("old")
    assert report.write_report(run).read_text().startswith("<!doctype html>")
