"""A search space: one YAML file, read, checked at its corners, and ready to give trials.

    space = load("search_spaces/thanos.yaml", overrides=["training.epochs=2"])
    filled = space.fill(lambda path, hole: hole.middle())      # what a search does, with its own suggestions

Checks come in two phases: everything that needs no torch first (YAML, shape, holes, conditions, references, corners,
aims), then, through `raycon.objective`, the knobs and the plan of every corner.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from raycon.config import Ablation, Repeat, Sweep, Trial
from raycon.errors import InvalidFile, MissingData, nearest
from raycon.own_code import NO_CODE, OwnCode, activate
from raycon.space.canonical import canonical_space
from raycon.space.completion import (
    Catalogue,
    check_encoder,
    complete_trial,
    named_scores,
    plain_of,
    shape_trial,
    trial_to_plain,
)
from raycon.space.corners import NeverAsked, corner_values
from raycon.space.editor_schema import json_schema, write_json_schema
from raycon.space.holes import Hole, Scalar, shown_option
from raycon.space.overrides import apply_overrides
from raycon.space.sections import (
    check_first_fits,
    check_repeat_fits,
    check_sweep_fits,
    read_ablation,
    read_repeat,
    read_sweep,
)
from raycon.space.source import TOP_LEVEL, Source, find_keys
from raycon.space.strict_yaml import Document, Keys, parse, read
from raycon.space.tree import Suggest, Tree, Values
from raycon.space.tree_reader import read_tree
from raycon.wording import one_line, shown

__all__ = [
    "Filled",
    "Hole",
    "Space",
    "json_schema",
    "load",
    "loads",
    "name_of",
    "trial_from",
    "trial_to_plain",
    "write_json_schema",
]

Outcome = TypeVar("Outcome")

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Filled:
    """One configuration: the values of the holes that were asked, and the trial that they make."""

    values: Values
    trial: Trial


@dataclass(frozen=True)
class _Shaped:
    """A configuration whose knobs the catalogue has not seen yet, as it is written, and where in the file its parts
    stand."""

    values: Values
    plain: Mapping[str, Any]
    trial: Trial
    origins: Mapping[str, Keys]


class Space:
    """A checked search space. Made by `load` or `loads`.

    name: the sweep's name. source: the file, or None. sweep, repeat: their sections, with `sweep.first` completed.
    ablation: its section, or None.
    holes: dotted path -> hole, the conditional ones too, in the order of asking. code: the user's own, as far as it is
    used.
    """

    def __init__(
        self, source: Source, *, name: str, path: Path | None, catalogue: Catalogue | None, code: OwnCode = NO_CODE
    ):
        """Raises InvalidFile for the first thing that is wrong."""
        self.source, self.name, self.code = path, name, code
        self._place, self._catalogue = source, catalogue
        data = source.document.data
        self.tree: Tree = read_tree(data["trial"], source)
        self._written = frozenset(self.tree.holes)
        searched = bool(self.tree.holes) or "sweep" in data
        corners = [self._shape(values) for values in self._corner_values()]
        sweep = self._located(lambda: read_sweep(data.get("sweep"), searched=searched))
        self.repeat: Repeat = self._located(lambda: read_repeat(data.get("repeat")))
        asked = data.get("ablation")
        self.ablation: Ablation | None = None if asked is None else self._located(lambda: read_ablation(asked))
        for shaped in corners:
            self._located(partial(check_sweep_fits, sweep, shaped.trial))
            if "repeat" in data:
                self._located(partial(check_repeat_fits, self.repeat, shaped.trial))
        first = [self._completed(given, f"sweep.first.{index}") for index, given in enumerate(sweep.first)]
        rivals = [self._completed(given, f"repeat.against.{name}") for name, given in self.repeat.against.items()]
        listed = [self._shape(values) for values in (*first, *rivals)]
        self._given = [{p: v for p, v in f.items() if p in g} for f, g in zip(first, sweep.first, strict=True)]
        distinct = [values for index, values in enumerate(first) if values not in first[:index]]
        self.sweep: Sweep = dataclasses.replace(sweep, first=tuple(distinct))
        self._located(partial(check_first_fits, self.sweep))
        self._corners = [self._complete(shaped) for shaped in corners]
        for shaped in listed:
            self._complete(shaped)
        self.code = code.used_by(self._named())

    @property
    def holes(self) -> Mapping[str, Hole]:
        """Every hole by its dotted path, with its conditions."""
        return self.tree.holes

    @property
    def first(self) -> list[Values]:
        """The configurations that always run first, complete: what the file leaves open is in the middle of its range,
        or at the first option."""
        return [dict(values) for values in self.sweep.first]

    def corners(self) -> list[Filled]:
        """The configurations that were checked when the file was read."""
        return list(self._corners)

    def fill(self, suggest: Suggest) -> Filled:
        """Asks `suggest(path, hole)` for every active hole, in a fixed order, and makes the trial.

        Raises InvalidFile for a suggestion outside its hole, or a combination that cannot run.
        """
        values = self._located(lambda: self.tree.choose(suggest))
        return self._complete(self._shape(values))

    def complete(self, given: Mapping[str, Any]) -> Values:
        """Values for all active holes: the given ones, and elsewhere the middle of the range or the first option.

        Values for what `--set` has fixed or switched off are left out. Raises InvalidFile for a path that is no hole, a
        value outside its hole, or one that is not asked with these choices.
        """
        return self._completed(given, "")

    def trial(self, values: Mapping[str, Scalar]) -> Trial:
        """The trial of stored values: one for each active hole. Raises InvalidFile for one too many or too few."""
        for path in values:
            if path not in self.tree.holes:
                raise InvalidFile(
                    f"is no hole of {self.name}{nearest(path, list(self.tree.holes))}", field=one_line(path)
                )

        def stored(path: str, hole: Hole) -> Scalar:
            if path not in values:
                raise InvalidFile(f"has no value; {self.name} asks for one here", field=path)
            return values[path]

        filled = self.fill(stored)
        for path in values:
            if path not in filled.values:
                raise InvalidFile("has a value, but is not asked with these choices", field=path)
        return filled.trial

    def with_code(self, code: OwnCode) -> Space:
        """The same space with more of the user's own code. Raises InvalidFile where that does not fit."""
        if not code:
            return self
        whole = self.code + code
        return Space(self._place, name=self.name, path=self.source, catalogue=self._catalogue, code=whole)

    def canonical(self) -> dict[str, Any]:
        """The space in one normal form that JSON holds: what its identity depends on, with every default filled in, and
        the hashes of the user's own code.

        Not part of it: `sweep.trials`, `workers` and `retries`, `repeat`, and the order of keys in the file.
        """
        samples = [(filled.values, trial_to_plain(filled.trial)) for filled in self._corners]
        whole = canonical_space(self.name, self.tree, samples, self.sweep, self._given)
        return whole | ({"code": self.code.hashes} if self.code else {})

    def _named(self) -> set[str]:
        """The functions and networks that some configuration names."""
        trials = [filled.trial for filled in self._corners]
        terms = {str(entry["term"]) for trial in trials for entry in trial.objective.values() if "term" in entry}
        return terms.union(*(section for trial in trials for section in (trial.transforms, trial.networks)))

    def identity(self) -> str:
        """sha256 (hex) of the canonical space, which holds its name and the search seed."""
        text = json.dumps(self.canonical(), sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def _corner_values(self) -> list[Values]:
        """The values of the corners. A hole that `--set` has left without any use is taken out of the space."""
        while True:
            try:
                return corner_values(self.tree)
            except NeverAsked as error:
                if not self._place.overridden:
                    raise self._error(error, None, {}) from None
                self.tree = self.tree.without(str(error.field))

    def _shape(self, values: Values) -> _Shaped:
        resolved = self._located(lambda: self.tree.resolve(values))
        trial = self._located(lambda: shape_trial(resolved.plain), values, resolved.origins)
        return _Shaped(values, resolved.plain, trial, resolved.origins)

    def _complete(self, shaped: _Shaped) -> Filled:
        if self._catalogue is None:
            activate(self.code)
        complete = partial(complete_trial, shaped.trial, self._catalogue)
        filled = Filled(shaped.values, self._located(complete, shaped.values, shaped.origins))
        # Only now the encoder's name is known to be one.
        self._located(partial(check_encoder, shaped.plain), shaped.values, shaped.origins)
        return filled

    def _completed(self, given: Mapping[str, Any], place: str) -> Values:
        """`complete`, with fields named as they stand at `place` in the file."""

        def refused(path: str, reason: str) -> InvalidFile:
            return self._error(InvalidFile(reason, field=f"{place}.{path}" if place else path), None, {})

        for path in given:
            # A hole that an override has left unasked is gone from the tree, but the file may well name it.
            if path not in self._written and not self._replaced(path):
                raise refused(path, f"is no hole of this file{nearest(path, list(self.tree.holes))}")

        def given_or_middle(path: str, hole: Hole) -> Any:
            try:
                return hole.check(given.get(path, hole.middle()))
            except InvalidFile as error:
                raise refused(path, error.reason) from None

        values = self.tree.choose(given_or_middle)
        for path in given:
            if path not in values and not self._place.overridden:
                raise refused(path, f"is not asked with these choices{_with(values)}")
        return values

    def _replaced(self, path: str) -> bool:
        """Whether `--set` has replaced the value at `path`, or something that holds or switches it."""
        names = [".".join(str(key) for key in keys[1:]) for keys in self._place.overridden if keys[0] == "trial"]
        holders = [name.removesuffix(".use") for name in names]
        return any(path == name or path.startswith(f"{name}.") for name in [*names, *holders])

    def located(self, action: Callable[[], Outcome]) -> Outcome:
        """What `action` returns, for checks that go beyond the file, such as those of the data: an InvalidFile that
        names a field of this space is raised again with its file and line."""
        return self._located(action)

    def _located(
        self,
        action: Callable[[], Outcome],
        values: Values | None = None,
        origins: Mapping[str, Keys] | None = None,
    ) -> Outcome:
        """What `action` returns; its InvalidFile gets the file and line of its field."""
        try:
            return action()
        except MissingData:
            raise
        except InvalidFile as error:
            raise self._error(error, values, origins or {}) from None

    def _error(self, error: InvalidFile, values: Values | None, origins: Mapping[str, Keys]) -> InvalidFile:
        if error.file is not None:
            return error
        field = error.field or ""
        keys = find_keys(field, origins, self._place.document.data)
        # Named are only the choices off their first option: what is wrong at all first options is wrong everywhere.
        holes = self.tree.holes
        switches = {p: v for p, v in (values or {}).items() if holes[p].kind == "choice" and v != holes[p].options[0]}
        reason = error.reason + (_with(switches) if values is not None else "")
        return self._place.refuse(reason, keys, field=field or None)


def _with(values: Mapping[str, Scalar]) -> str:
    """The choices under which something is wrong, for a message."""
    words = [f"{path} = {shown_option(value)}" for path, value in values.items()]
    return f" (with {', '.join(words[:4])}{', ...' if len(words) > 4 else ''})" if words else ""


def load(
    path: str | Path,
    overrides: Sequence[str] = (),
    *,
    catalogue: Catalogue | None = None,
    code: OwnCode = NO_CODE,
) -> Space:
    """The space in a file, with `--set path=value` overrides put in.

    catalogue: what knows the terms; `raycon.objective` by default, imported after all checks that do without it. code:
    the user's own entries of that catalogue. Raises InvalidFile: one line, with file, line, dotted field, reason and
    often the nearest name.
    """
    path = Path(path)
    document = read(path, integer_keys=("coarse",))
    return _space(document, overrides, name=path.stem, path=path, catalogue=catalogue, code=code)


def name_of(path: str | Path, overrides: Sequence[str] = ()) -> str:
    """The name of the space in a file, which is its sweep's, without a look at its terms. Raises InvalidFile."""
    path = Path(path)
    return _named_source(read(path, integer_keys=("coarse",)), overrides, path.stem)[1]


def loads(
    text: str,
    *,
    name: str = "space",
    overrides: Sequence[str] = (),
    catalogue: Catalogue | None = None,
    code: OwnCode = NO_CODE,
) -> Space:
    """The space in a text. `name` is used where the text gives none, and in messages. Raises InvalidFile."""
    document = parse(text, file=name, integer_keys=("coarse",))
    return _space(document, overrides, name=name, path=None, catalogue=catalogue, code=code)


def _space(
    document: Document,
    overrides: Sequence[str],
    *,
    name: str,
    path: Path | None,
    catalogue: Catalogue | None,
    code: OwnCode,
) -> Space:
    source, name = _named_source(document, overrides, name)
    return Space(source, name=name, path=path, catalogue=catalogue, code=code)


def _named_source(document: Document, overrides: Sequence[str], name: str) -> tuple[Source, str]:
    """The document with its overrides, and the name of its space."""
    plain = Source(document)
    data = document.data
    if not isinstance(data, dict):
        raise plain.refuse(f"should be a mapping with 'trial', not {shown(data)}", ())
    for key in data:
        if key not in TOP_LEVEL:
            known = {field.name for field in dataclasses.fields(Trial)}
            hint = f" (did you mean trial.{key}?)" if key in known else nearest(str(key), TOP_LEVEL)
            raise plain.refuse(f"is not a known section{hint}", (key,))
    if not isinstance(data.get("trial"), dict):
        reason = f"should be a mapping, not {shown(data['trial'])}" if "trial" in data else "is missing"
        raise plain.refuse(reason, ("trial",), field="trial")
    source = apply_overrides(_with_named_scores(document), overrides)
    name = source.document.data.get("name", name)
    if not isinstance(name, str) or not NAME.fullmatch(name):
        words = "should be 1 to 64 of a-z 0-9 . _ - and begin with a letter or digit"
        raise source.refuse(f"{words}, not {shown(name)}", ("name",), field="name")
    return source, name


def _with_named_scores(document: Document) -> Document:
    """The document with a list of scores turned into a mapping."""
    lines = dict(document.lines)
    trial = document.data["trial"]
    try:
        named = named_scores(trial)
    except InvalidFile as error:
        keys = find_keys(error.field or "", {}, document.data)
        raise Source(document).refuse(error.reason, keys, field=error.field) from None
    if isinstance(trial.get("scores"), list):
        for index, score in enumerate(trial["scores"]):
            lines["trial", "scores", score] = lines.get(("trial", "scores", index), 1)
    return Document({**document.data, "trial": named}, lines, document.file)


def first_trial(space: Space) -> Trial:
    """The first configuration of `sweep.first`, else the middle of the space."""
    return space.trial(space.complete(dict(space.first[0]) if space.first else {}))


def trial_from(plain: Mapping[str, Any], catalogue: Catalogue | None = None) -> Trial:
    """The trial of plain values, fully checked: the way back from `trial_to_plain`, and the way in for code.

    References are settled; holes are refused. Raises InvalidFile with the dotted field.
    """
    if not isinstance(plain, Mapping):
        raise InvalidFile(f"a trial should be a mapping, not {shown(plain)}")
    listed = named_scores(plain_of(plain))
    tree = read_tree(listed, Source(Document({"trial": listed})))
    for path in tree.holes:
        raise InvalidFile("is a hole; a trial has none", field=path)
    return complete_trial(shape_trial(tree.resolve({}).plain), catalogue)
