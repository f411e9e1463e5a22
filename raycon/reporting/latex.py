"""Rows as a LaTeX table for the package booktabs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from raycon.reporting.tables import Row

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
}


def escaped(text: str) -> str:
    """Text in which nothing is a command."""
    return "".join(_SPECIAL.get(letter, letter) for letter in text)


def booktabs(rows: Sequence[Row], caption: str, label: str) -> str:
    """A floating table. Numbers stand to the right with four significant digits; a missing value is a dash. Needs
    `\\usepackage{booktabs}`."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    columns = [name for name in columns if any(row.get(name) is not None for row in rows)] or columns
    aligned = "".join("l" if any(isinstance(row.get(name), str) for row in rows) else "r" for name in columns)
    lines = [r"\begin{table}", r"\centering", rf"\begin{{tabular}}{{{aligned}}}", r"\toprule"]
    lines += [" & ".join(escaped(name) for name in columns) + r" \\", r"\midrule"]
    lines += [" & ".join(_cell(row.get(name)) for name in columns) + r" \\" for row in rows]
    plain = "".join(letter if letter.isalnum() or letter in ":-" else "-" for letter in label)
    lines += [r"\bottomrule", r"\end{tabular}", rf"\caption{{{escaped(caption)}}}", rf"\label{{{plain}}}"]
    return "\n".join([*lines, r"\end{table}", ""])


def _cell(value: Any) -> str:
    if value is None:
        return "--"
    if isinstance(value, float):
        return f"${value:.4g}$" if "e" not in f"{value:.4g}" else f"${value:.1e}$".replace("e", r"\mathrm{e}")
    return escaped(str(value))
