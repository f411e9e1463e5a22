"""A part of a report: title, lines, a table, pictures; as Markdown. `html.page` shows the same parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from raycon.reporting.tables import Row, to_markdown


@dataclass(frozen=True)
class Section:
    """`pictures` maps file names to PNG bytes, `files` other files that go beside the page, such as CSV. `lines` are
    list entries where they begin with '- ', else paragraphs."""

    title: str
    lines: Sequence[str] = ()
    rows: Sequence[Row] = ()
    pictures: Mapping[str, bytes] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)

    def markdown(self) -> list[str]:
        """The part in lines of Markdown, a blank one at its end."""
        text = [f"## {self.title}", ""]
        listed = False
        for line in self.lines:
            text += [line] if line.startswith("- ") else ([""] if listed else []) + [line, ""]
            listed = line.startswith("- ")
        text += [""] if listed else []
        text += [to_markdown(self.rows)] if self.rows else []
        return text + [line for name in self.pictures for line in (f"![{self.title}]({name})", "")]


def files_of(sections: Sequence[Section]) -> dict[str, bytes]:
    """All pictures and files of the sections, by name."""
    return {name: content for part in sections for name, content in (*part.pictures.items(), *part.files.items())}
