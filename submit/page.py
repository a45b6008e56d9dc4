"""The state of campaigns as one page without anything from elsewhere."""

import datetime
import html
from collections.abc import Iterator, Sequence

from submit.explain import name_of
from submit.status import STATES, Row, Status
from submit.tables import summary_line

__all__ = ["status_page"]

_STYLE = """
:root { color-scheme: light dark; --text: #1c2530; --dim: #5d6b7a; --line: #d7dde4; --back: #fff;
  --done: #2f7d4f; --running: #2d6cb5; --queued: #8fb4dd; --planned: #c9d6e4; --blocked: #c9a227;
  --failed: #c2452d; --quarantined: #7c2d1a; --open: #dfe3e8; }
@media (prefers-color-scheme: dark) { :root { --text: #dfe6ee; --dim: #93a1b0; --line: #33404d;
  --back: #151b22; --queued: #3f638c; --planned: #2e4256; --open: #2a323b; } }
body { font: 15px/1.45 system-ui, sans-serif; color: var(--text); background: var(--back); margin: 0 auto;
  max-width: 60rem; padding: 1rem; }
h1 { font-size: 1.3rem; margin: 0; } h2 { font-size: 1.05rem; margin: 2rem 0 .3rem; overflow-wrap: anywhere; }
.dim { color: var(--dim); } .scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .2rem .7rem .2rem 0; border-bottom: 1px solid var(--line); }
th { color: var(--dim); font-weight: 500; } td:nth-child(-n+2), th:nth-child(-n+2) { text-align: left; }
.bar { display: flex; height: .8rem; border-radius: .2rem; overflow: hidden; background: var(--open);
  margin: .5rem 0; }
.fail { margin: .6rem 0; padding-left: .7rem; border-left: 3px solid var(--failed); overflow-wrap: anywhere; }
code { font-size: .9em; }
"""


def status_page(found: Sequence[Status]) -> str:
    """Return a page of HTML with the state of campaigns."""
    now = datetime.datetime.now(datetime.UTC)
    parts = [part for status in reversed(found) for part in _campaign(status)]
    empty = "<p>No campaign was submitted yet.</p>"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Campaigns</title><style>{_STYLE}</style></head><body>"
        f'<h1>Campaigns</h1><p class="dim">{now:%Y-%m-%d %H:%M} UTC</p>{"".join(parts) or empty}'
        "</body></html>\n"
    )


def _campaign(status: Status) -> Iterator[str]:
    total = status.total
    yield f"<h2>{html.escape(status.root)}</h2>"
    yield f"<p>{summary_line(status)}.</p>"
    yield f'<p class="dim"><code>{html.escape(status.directory)}</code></p>'
    if status.scheduler:
        yield f'<p class="dim">The batch system {html.escape(status.scheduler)}.</p>'
    pieces = "".join(
        f'<span title="{state}: {total[state]}" style="flex:{total[state]};background:var(--{state})"></span>'
        for state in STATES
        if total[state]
    )
    yield f'<div class="bar">{pieces}</div>'
    yield from _table(status.rows, [state for state in STATES if total[state]])
    yield from _failures(status)


def _table(rows: Sequence[Row], columns: Sequence[str]) -> Iterator[str]:
    head = "".join(f"<th>{state}</th>" for state in columns)
    yield f'<div class="scroll"><table><tr><th>stage</th><th></th><th>total</th>{head}</tr>'
    for row in rows:
        cells = "".join(f"<td>{row.counts[state] or ''}</td>" for state in columns)
        names = f"<td>{html.escape(row.stage)}</td><td>{html.escape(row.by)}</td>"
        yield f"<tr>{names}<td>{row.total}</td>{cells}</tr>"
    yield "</table></div>"


def _failures(status: Status) -> Iterator[str]:
    groups: dict[tuple[str, str], list[dict]] = {}
    for failure in status.failures:
        groups.setdefault((failure["state"], str(failure["class"])), []).append(failure)
    for (state, kind), failures in groups.items():
        first = failures[0]
        yield f'<div class="fail">{len(failures)} {state} ({html.escape(kind)}), e.g. '
        name = name_of(f"<code>{html.escape(first['id'])}</code>", html.escape(first["label"] or ""))
        yield f"{name}<br>{html.escape(str(first['error']))}"
        if first["log"]:
            yield f'<br><span class="dim">{html.escape(str(first["log"]))}</span>'
        yield "</div>"
