"""Rows as a LaTeX table for the package booktabs that fits an article's text width."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from raycon.reporting.tables import Row

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_\hspace{0pt}",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
}
_DISPENSABLE = ("better", "max-T p", "exploratory q", "better on", "p", "equivalence p", "detectable", "sign-flip p")
"""Columns that are left out, in this order, where a table would be too wide; the CSV has them all."""
_LINE, _GAP, _NARROW = 82, 2, 16
"""Characters of a line of a 345 pt text in footnote size, those between two columns, and the least of a text column."""


def escaped(text: str) -> str:
    """Text in which nothing is a command, and which may be broken behind an underscore."""
    return "".join(_SPECIAL.get(letter, letter) for letter in text)


def booktabs(rows: Sequence[Row], caption: str, label: str) -> str:
    """A floating table. Needs `\\usepackage{booktabs}`.

    Numbers stand to the right with four significant digits, p values with two; a missing value is a dash. `low` and
    `high` become one column. Long text is broken into lines, and what a narrow page has no room for is left out.
    """
    merged = [_with_interval(row) for row in rows]
    columns = _columns(merged)
    cells = [[_cell(name, row.get(name)) for name in columns] for row in merged]
    aligned = "".join(_alignment(merged, columns))
    lines = [r"\begin{table}", r"\centering\footnotesize\setlength{\tabcolsep}{3pt}"]
    lines += [rf"\begin{{tabular}}{{@{{}}{aligned}@{{}}}}", r"\toprule"]
    lines += [" & ".join(escaped(name) for name in columns) + r" \tabularnewline", r"\midrule"]
    lines += [" & ".join(row) + r" \tabularnewline" for row in cells]
    plain = "".join(letter if letter.isalnum() or letter in ":-" else "-" for letter in label)
    lines += [r"\bottomrule", r"\end{tabular}", rf"\caption{{{escaped(caption)}}}", rf"\label{{{plain}}}"]
    return "\n".join([*lines, r"\end{table}", ""])


def _with_interval(row: Row) -> Row:
    """`low` and `high` as one text in square brackets."""
    if "low" not in row or "high" not in row:
        return row
    low, high = row["low"], row["high"]
    told = None if low is None or high is None else Interval((low, high))
    return {
        ("interval" if name == "low" else name): (told if name == "low" else v)
        for name, v in row.items()
        if name != "high"
    }


class Interval(tuple[float, float]):
    """Two ends that stand in one cell."""


def _columns(rows: Sequence[Row]) -> list[str]:
    """Those that any row has a value in, as many as fit."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    names = [name for name in names if any(row.get(name) is not None for row in rows)] or names
    for name in _DISPENSABLE:
        if _least_width(rows, names) > _LINE and name in names:
            names.remove(name)
    return names


def _least_width(rows: Sequence[Row], names: Sequence[str]) -> int:
    return sum(min(_width(rows, name), _NARROW) if _is_text(rows, name) else _width(rows, name) for name in names) + (
        _GAP * (len(names) - 1)
    )


def _alignment(rows: Sequence[Row], names: Sequence[str]) -> list[str]:
    """Numbers to the right; text to the left, in columns that share what the numbers leave where it is too long."""
    texts = {name: _width(rows, name) for name in names if _is_text(rows, name)}
    room = _LINE - _GAP * (len(names) - 1) - sum(_width(rows, name) for name in names if name not in texts)
    if sum(texts.values()) <= room:
        return ["l" if name in texts else "r" for name in names]
    short = {name: width for name, width in texts.items() if width <= _NARROW}
    long = {name: min(width, 60) for name, width in texts.items() if name not in short}
    left = max(room - sum(short.values()), _NARROW * len(long))
    shares = {name: max(left * width / sum(long.values()), _NARROW) / _LINE for name, width in long.items()}
    spec = {name: rf"p{{{share:.3f}\linewidth}}" for name, share in shares.items()}
    return [spec.get(name, "l" if name in texts else "r") for name in names]


def _is_text(rows: Sequence[Row], name: str) -> bool:
    return any(isinstance(row.get(name), str) for row in rows)


def _width(rows: Sequence[Row], name: str) -> int:
    """Characters as they are seen, commands left out."""
    return max([len(name), *(len(_seen(name, row.get(name))) for row in rows)])


def _seen(name: str, value: Any) -> str:
    text = _cell(name, value)
    for command in (r"\raggedright ", r"\hspace{0pt}", r"\cdot", "$", "\\", "{", "}", "^"):
        text = text.replace(command, "")
    return text


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "--"
    if isinstance(value, Interval):
        return f"$[{_number(value[0], 3)}, {_number(value[1], 3)}]$"
    if isinstance(value, float):
        return f"${_number(value, 2 if name.split()[-1] in ('p', 'q') else 4)}$"
    text = escaped(str(value))
    return rf"\raggedright {text}" if isinstance(value, str) and len(text) > _NARROW else text


def _number(value: float, digits: int) -> str:
    if not math.isfinite(value):
        return r"\infty" if value > 0 else (r"-\infty" if value < 0 else r"\mathrm{nan}")
    mantissa, _, power = f"{value:.{digits}g}".partition("e")
    return rf"{mantissa}\cdot10^{{{int(power)}}}" if power else mantissa
