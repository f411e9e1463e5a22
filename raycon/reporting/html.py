"""One HTML page that needs nothing beside it: tables, pictures inside, no script."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape

from raycon.reporting.section import Section
from raycon.reporting.tables import Row, shown

LONG = 24
"""Text of more letters is broken into lines."""
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72em; margin: 2em auto; padding: 0 1em; color: #222; }
table { border-collapse: collapse; margin: 1em 0; font-size: 13px; display: block; overflow-x: auto; }
th, td { padding: .25em .7em; border-bottom: 1px solid #ddd; text-align: left; white-space: nowrap; }
th { border-bottom: 2px solid #555; }
td.long { white-space: normal; min-width: 13em; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
img { max-width: 100%; }
.warning { background: #fff1d6; border-left: 4px solid #c8641e; padding: .4em .8em; }
.caption, details { color: #555; font-size: 13px; }
"""


def page(
    title: str,
    facts: Sequence[str],
    sections: Sequence[Section],
    caption: str = "",
    changes: Mapping[str, Sequence[str]] | None = None,
    warning: str = "",
) -> str:
    """The page. changes: what each arm of a study changes. warning: what stands above everything else."""
    parts = [f"<h1>{escape(title)}</h1>"]
    parts += [f'<p class="warning">{escape(warning)}</p>'] if warning else []
    parts.append(_list(facts))
    for section in sections:
        parts += _section(section)
    parts += [f'<p class="caption">{escape(caption)}</p>'] if caption else []
    if changes is not None:
        arms = "".join(f"<dt>{escape(arm)}</dt><dd>{_list(lines)}</dd>" for arm, lines in changes.items())
        parts.append(f"<details><summary>What the arms change</summary><dl>{arms}</dl></details>")
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n' + "\n".join(parts) + "\n</body></html>\n"


def _section(section: Section) -> list[str]:
    parts = [f"<h2>{escape(section.title)}</h2>"]
    listed: list[str] = []
    for line in (*section.lines, ""):
        if line.startswith("- "):
            listed.append(line.removeprefix("- "))
            continue
        parts += [_list(listed)] if listed else []
        listed = []
        parts += [f"<p>{escape(line)}</p>"] if line else []
    parts += [_table(section.rows)] if section.rows else []
    for content in section.pictures.values():
        image = base64.b64encode(content).decode()
        parts.append(f'<img alt="{escape(section.title)}" src="data:image/png;base64,{image}">')
    return parts


def _list(lines: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"


def _table(rows: Sequence[Row]) -> str:
    # A column without any value, such as a correction over a family of one, would only push others out of sight.
    columns = [n for n in dict.fromkeys(n for row in rows for n in row) if any(row.get(n) is not None for row in rows)]
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    body = ""
    for row in rows:
        cells = (row.get(name) for name in columns)
        body += "<tr>" + "".join(_cell(value) for value in cells) + "</tr>\n"
    return f"<table><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table>"


def _cell(value: object) -> str:
    text = shown(value).replace("\\|", "|")
    kind = ' class="long"' if len(text) > LONG else ""
    kind = ' class="number"' if isinstance(value, int | float) and not isinstance(value, bool) else kind
    return f"<td{kind}>{escape(text)}</td>"
