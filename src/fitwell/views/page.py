"""One HTML page that needs nothing else: its frame, its style, and the parts that every report has.

The page holds its own style and pictures, loads nothing and runs no script (its content security policy
forbids both), so that it can be mailed, archived and printed. Whoever writes a section escapes the texts of
the run: a class may be called ``<script>``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING, Any

from fitwell.run import Run
from fitwell.run.files import read_json
from fitwell.views import figures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# The colours of the pictures, as the page calls them: in the dark they are others.
_COLOURS = {
    figures.INK: "var(--ink)", figures.GREY: "var(--grey)", figures.LINE: "var(--line)",
    figures.TRAIN: "var(--train)", figures.VALIDATION: "var(--validation)", figures.GOOD: "var(--good)",
}  # fmt: skip
# Styles, which would hold for the whole page; sizes, which are the page's to decide; addresses of namespaces.
_NOT_FOR_PAGES = re.compile(
    r'<!--.*?-->|<style.*?</style>|<metadata>.*?</metadata>| xmlns(:\w+)?="[^"]*"'
    r'| (?:width|height)="[\d.]+pt"',
    re.DOTALL,
)


def html(title: str, sections: Iterable[str]) -> str:
    """The whole page of some sections; empty ones are left out.

    Args:
        title: as text.
        sections: as HTML.
    """
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'; img-src data:\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(section for section in sections if section)
        + "\n</main>\n</body>\n</html>\n"
    )


def headline(
    info: Mapping[str, Any], name: str, verdict: tuple[str, str], tiles: Iterable[tuple[str, str]]
) -> str:
    """The top of the page: when it was, what it was, the verdict with its reason, and the main figures."""
    when = datetime.fromtimestamp(info["started"], UTC).strftime("%Y-%m-%d %H:%M UTC")
    word, reason = verdict
    pill = f'<span class="verdict {_mood(word)}">{escape(word.replace("-", " "))}</span>' if word else ""
    boxes = "".join(f"<div><dt>{escape(label)}</dt><dd>{escape(value)}</dd></div>" for label, value in tiles)
    return (
        f"<header><p class=eyebrow>fitwell report, {when}</p>"
        f"<h1>{escape(name)} {pill}</h1>"
        f"<p class=reason>{escape(reason)}</p>"
        f"<dl class=tiles>{boxes}</dl></header>"
    )


def _mood(verdict: str) -> str:
    return {"just-right": "good", "broken": "bad", "not-converging": "bad"}.get(verdict, "fair")


def picture(figure: Figure, alt: str) -> str:
    """The figure as ``<svg>`` in the page's colours."""
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    text = figures.drawn(figure, "svg", transparent=True, metadata=nothing).decode()
    text = _NOT_FOR_PAGES.sub("", text[text.index("<svg") :])
    for colour, name in _COLOURS.items():
        text = text.replace(colour, name)
    return f'<figure role="img" aria-label="{escape(alt)}">{text}</figure>'


def section(title: str, content: str) -> str:
    """A part of the page with its heading; both are HTML."""
    return f"<section><h2>{title}</h2>{content}</section>"


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]], kind: str) -> str:
    """A table of texts; the first cell of a row is its heading. The caption is HTML."""
    top = "".join(f"<th scope=col>{escape(name)}</th>" if name else "<td></td>" for name in head)
    thead = f"<thead><tr>{top}</tr></thead>" if any(head) else ""
    body = "".join(
        f"<tr><th scope=row>{escape(first)}</th>{''.join(f'<td>{escape(cell)}</td>' for cell in rest)}</tr>"
        for first, *rest in rows
    )
    inside = f"<caption>{caption}</caption>{thead}<tbody>{body}</tbody>"
    return f"<div class=wide><table class={kind}>{inside}</table></div>"


def environment(run: Run) -> str:
    """The section on the machine and the versions."""
    path = run.path / "env.json"
    environment = read_json(path) if path.exists() else {}
    rows = [(name, str(value)) for group in environment.values() for name, value in group.items()]
    seed = run.info.get("seed")
    rows = [("run", run.name), *([("seed", str(seed))] if seed is not None else []), *rows]
    return section("Where was it trained?", table("Machine and versions", ["", ""], rows, "plan"))


_STYLE = """
:root{--paper:#fff;--ink:#23272e;--grey:#5f6773;--line:#dfe3e8;--card:#f6f7f9;--train:#0072b2;
--validation:#c25500;--good:#007a59;--bad:#b3261e;--good-rgb:0 158 115;--validation-rgb:213 94 0;
color-scheme:light dark}
@media screen and (prefers-color-scheme:dark){:root{--paper:#14171c;--ink:#e6e9ee;--grey:#9aa4b2;
--line:#333a45;--card:#1c2129;--train:#56b4e9;--validation:#f0894a;--good:#3ecf9f;--bad:#ff8a80}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);
font:16px/1.55 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:64rem;margin:0 auto;padding:2.5rem 1.25rem 4rem}
h1{font-size:2.2rem;line-height:1.2;margin:.2rem 0 .4rem;overflow-wrap:anywhere}
h2{font-size:1.2rem;margin:2.6rem 0 .7rem}
h3{font-size:1rem;margin:1.6rem 0 .4rem}
p{margin:.5rem 0;max-width:46rem}
.eyebrow{color:var(--grey);font-size:.85rem}
.reason{font-size:1.1rem}
.verdict{display:inline-block;font-size:1rem;font-weight:600;vertical-align:middle;padding:.15rem .7rem;
border:1.5px solid;border-radius:99px;color:var(--validation)}
.verdict.good{color:var(--good)}.verdict.bad{color:var(--bad)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(10rem,1fr));gap:.75rem;margin:1.4rem 0 0}
.tiles div{background:var(--card);border-radius:.6rem;padding:.8rem 1rem}
dt{color:var(--grey);font-size:.85rem}dd{margin:0}
.tiles dd{font-size:1.45rem;font-weight:600;font-variant-numeric:tabular-nums}
.wide{overflow-x:auto}
table{border-collapse:collapse;font-size:.92rem;font-variant-numeric:tabular-nums}
caption{text-align:left;color:var(--grey);font-size:.85rem;padding-bottom:.4rem}
th,td{padding:.35rem .7rem;border-bottom:1px solid var(--line);text-align:left;vertical-align:top}
th{font-weight:600}.plan th{font-weight:400;white-space:nowrap}.plan td{overflow-wrap:anywhere}
.numbers td,.numbers thead th{text-align:right}
.heat th,.heat td{padding:.3rem .45rem;text-align:center;border:1px solid var(--line);min-width:2.2rem}
.heat tbody th{text-align:right;white-space:nowrap}
.warning{border-left:4px solid var(--validation);padding:.4rem .9rem;background:var(--card)}
figure{margin:1rem 0}figure svg{width:100%;height:auto}
.cards{list-style:none;padding:0;display:grid;grid-template-columns:repeat(auto-fill,minmax(10.5rem,1fr));gap:.75rem}
.cards li{background:var(--card);border-radius:.6rem;padding:.8rem;break-inside:avoid;overflow-wrap:anywhere}
.cards img{width:100%;max-height:12rem;object-fit:contain;image-rendering:pixelated;border-radius:.3rem}
.cards dl{font-size:.85rem;margin:.4rem 0 0}
.cards dl div{display:flex;justify-content:space-between;gap:.5rem}
.wrong{color:var(--validation)}.row{color:var(--grey);font-size:.85rem}
pre{background:var(--card);border-radius:.6rem;padding:.9rem 1rem;overflow-x:auto}
summary{cursor:pointer;color:var(--train);margin:.6rem 0}
@media print{main{max-width:none;padding:0}section{break-inside:avoid-page}
details::details-content{content-visibility:visible;display:block}
*{-webkit-print-color-adjust:exact;print-color-adjust:exact}}
"""
