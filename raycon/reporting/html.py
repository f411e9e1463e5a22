"""One HTML page that needs nothing beside it: tables, pictures inside, no script."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape

from raycon.reporting.tables import Row, shown

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72em; margin: 2em auto; padding: 0 1em; color: #222; }
table { border-collapse: collapse; margin: 1em 0; font-size: 13px; display: block; overflow-x: auto; }
th, td { padding: .25em .7em; border-bottom: 1px solid #ddd; text-align: left; white-space: nowrap; }
th { border-bottom: 2px solid #555; }
td:last-child { white-space: normal; min-width: 5em; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
img { max-width: 100%; }
.caption, details { color: #555; font-size: 13px; }
"""


def page(
    title: str,
    facts: Sequence[str],
    sections: Sequence[tuple[str, list[Row], str | None]],
    caption: str,
    files: Mapping[str, bytes],
    changes: Mapping[str, Sequence[str]],
) -> str:
    """The page. sections: title, rows, and the name of a PNG among `files`. changes: what each arm changes."""
    parts = [f"<h1>{escape(title)}</h1>", _list(facts)]
    for heading, rows, picture in sections:
        parts.append(f"<h2>{escape(heading)}</h2>")
        if rows:
            parts.append(_table(rows))
        if picture:
            image = base64.b64encode(files[picture]).decode()
            parts.append(f'<img alt="{escape(heading)}" src="data:image/png;base64,{image}">')
    parts.append(f'<p class="caption">{escape(caption)}</p>')
    arms = "".join(f"<dt>{escape(arm)}</dt><dd>{_list(lines)}</dd>" for arm, lines in changes.items())
    parts.append(f"<details><summary>What the arms change</summary><dl>{arms}</dl></details>")
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n' + "\n".join(parts) + "\n</body></html>\n"


def _list(lines: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"


def _table(rows: Sequence[Row]) -> str:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    body = ""
    for row in rows:
        cells = (row.get(name) for name in columns)
        body += "<tr>" + "".join(_cell(value) for value in cells) + "</tr>\n"
    return f"<table><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table>"


def _cell(value: object) -> str:
    kind = ' class="number"' if isinstance(value, int | float) and not isinstance(value, bool) else ""
    text = shown(value).replace("\\|", "|")
    return f"<td{kind}>{escape(text)}</td>"
