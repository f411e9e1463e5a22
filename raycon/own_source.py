"""From functions to the text of one file that defines them: what a user's own terms are shipped, hashed and kept as.

Of the file in which a function stands, the text holds the imports, definitions and constants that the function needs,
and nothing that merely stands beside them. So a script may define a term and run the sweep itself, and a change to the
script that does not concern the term does not make another search of it.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import symtable
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from raycon.errors import InvalidFile


def text_of(functions: Sequence[Callable[..., Any]], lists: dict[str, Sequence[str]], field: str) -> tuple[str, ...]:
    """The texts of the files of `functions`, one for each file that defines some of them.

    lists: what each text ends with, `NAME = [functions]`, by the functions' names. field: how messages call the
    argument. Raises InvalidFile for what has no text of its own: lambdas, functions within functions, a console.
    """
    by_file: dict[str, list[Callable[..., Any]]] = {}
    lines: dict[str, str] = {}
    for function in functions:
        place, text = _file_of(function, field)
        by_file.setdefault(place, []).append(function)
        lines[place] = text
    texts = []
    for place, found in by_file.items():
        names = [function.__name__ for function in found]
        ends = [f"{title} = [{', '.join(n for n in listed if n in names)}]" for title, listed in lists.items()]
        texts.append("\n".join([_needed_text(lines[place], names, place), *(e for e in ends if "[]" not in e), ""]))
    return tuple(texts)


def _file_of(function: Callable[..., Any], field: str) -> tuple[str, str]:
    """Where a function is defined, and the whole text there (of a notebook: of its cell)."""
    name = getattr(function, "__qualname__", type(function).__name__)
    if not inspect.isfunction(function):
        raise InvalidFile(f"{name} is no plain function; write one with `def`", field=field)
    if function.__name__ == "<lambda>":
        raise InvalidFile("a lambda has no name and no text of its own; write a function with `def`", field=field)
    if "." in name:
        raise InvalidFile(f"{name} is defined inside of something; move it to the top level of its file", field=field)
    try:
        lines, _ = inspect.findsource(function)
    except OSError:
        raise InvalidFile(
            f"the text of {name} is not to be found, as of all that is typed into a console; put it into a file",
            field=field,
        ) from None
    return inspect.getsourcefile(function) or function.__code__.co_filename, "".join(lines)


def _needed_text(text: str, names: Sequence[str], place: str) -> str:
    """The statements of `text` that define `names` and all that they need, in their order."""
    statements = ast.parse(text).body
    definers: dict[str, list[ast.stmt]] = {}
    for statement in statements:
        for name in () if _is_main(statement) else bound_names(statement):
            definers.setdefault(name, []).append(statement)
    kept: list[ast.stmt] = [s for s in statements if isinstance(s, ast.ImportFrom) and s.module == "__future__"]
    waiting = list(names)
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in seen or (name not in definers and hasattr(builtins, name)):
            continue
        seen.add(name)
        if name not in definers:
            raise InvalidFile(f"needs {name!r}, which nothing at the top level of this file defines", file=place)
        for statement in definers[name]:
            if statement not in kept:
                kept.append(statement)
                waiting += needed_names(statement)
    check_imports(kept, place)
    lines = text.splitlines()
    ordered = sorted(kept, key=lambda statement: statement.lineno)
    return "\n\n".join("\n".join(lines[_first_line(s) - 1 : s.end_lineno]) for s in ordered)


def _first_line(statement: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(statement, "decorator_list", [])
    return min([statement.lineno, *(decorator.lineno for decorator in decorators)])


def _is_main(statement: ast.stmt) -> bool:
    """Whether it is `if __name__ == ...`, which is not run where the file is imported."""
    return isinstance(statement, ast.If) and "__name__" in ast.unparse(statement.test)


def bound_names(statement: ast.stmt) -> Iterator[str]:
    """The names that a statement at the top level of a file gives a value to."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield statement.name
        return
    for node in ast.walk(statement):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from ((alias.asname or alias.name).split(".")[0] for alias in node.names)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name


def needed_names(statement: ast.stmt) -> set[str]:
    """The names of the file that a statement looks up, now or when what it defines is called."""
    table = symtable.symtable(ast.unparse(statement), "", "exec")
    found = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_referenced()}
    waiting = list(table.get_children())
    while waiting:
        inner = waiting.pop()
        waiting += inner.get_children()
        found |= {symbol.get_name() for symbol in inner.get_symbols() if symbol.is_global() and symbol.is_referenced()}
    # With postponed annotations no table has the names in them, and they say what bounds a knob has.
    for node in ast.walk(statement):
        for annotation in (getattr(node, "annotation", None), getattr(node, "returns", None)):
            if isinstance(annotation, ast.expr):
                found |= {part.id for part in ast.walk(annotation) if isinstance(part, ast.Name)}
    return found - set(bound_names(statement))


def check_imports(statements: Sequence[ast.stmt], place: str) -> None:
    """Refuses imports of files beside this one: they would be missing on another machine and in the hash."""
    folder = Path(place).parent
    for node in (node for statement in statements for node in ast.walk(statement)):
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        if isinstance(node, ast.ImportFrom) and node.level:
            raise InvalidFile("own code is one file: no relative imports", file=place, line=node.lineno)
        modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
        for root in {module.split(".")[0] for module in modules} - {"raycon"}:
            if (folder / f"{root}.py").is_file() or (folder / root / "__init__.py").is_file():
                reason = f"own code is one file, and {root!r} is another one beside it; move what is needed here"
                raise InvalidFile(reason, file=place, line=node.lineno)
