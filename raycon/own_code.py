"""A user's own terms, transforms, networks and loop: one file's text, loaded into the catalogues under its own names.

Such a file is Python that names what it offers:

    TERMS = [my_loss]                       # functions, as in raycon/losses
    TRANSFORMS = [my_mixing]; PROVIDES = {"my_mixing": ("mixed_views",)}
    NETWORKS = [MyNetwork]                  # subclasses of raycon.networks.auxiliary.Auxiliary
    TRAIN = [my_loop]                       # at most one generator function, see raycon.own_loop

It is loaded only where somebody names it (`--code`, `terms=`, `train=`) or from the folder of the sweep that was begun
with it: a search space never imports anything. The text travels with every assignment, so that a worker on any node has
the very code that the sweep's identity holds the hash of.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import linecache
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from raycon.disk import RealDisk, write_durably
from raycon.errors import InvalidFile, RayconError, Refused, nearest
from raycon.history import read_sweep_file
from raycon.object_storage import ObjectFolder, is_uri
from raycon.own_source import check_imports, text_of
from raycon.signatures import read_signature
from raycon.vocabulary import VOCABULARY
from raycon.wording import one_line

SECTIONS = ("TERMS", "TRANSFORMS", "NETWORKS", "TRAIN")
FOLDER = "code"
SHIPPED_LOOP, OWN_LOOP = "raycon.training:open_run", "raycon.own_loop:open_run"
LOOP_ARGUMENTS = ("trial", "world", "checkpoint")
"""What a loop can ask for by the names of its parameters."""


@dataclass(frozen=True)
class OwnCode:
    """The texts of a user's own files, in the order in which they were given. False where there is none."""

    texts: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.texts)

    def __add__(self, other: OwnCode) -> OwnCode:
        return OwnCode(tuple(dict.fromkeys((*self.texts, *other.texts))))

    @property
    def hashes(self) -> list[str]:
        """SHA-256 of each text: what the identity of a sweep holds."""
        return [hashlib.sha256(text.encode()).hexdigest() for text in self.texts]

    @property
    def loop(self) -> Callable[..., Any] | None:
        """The own training loop, where one is defined."""
        loops = [loop for text in self.texts for loop in load_text(text).sections["TRAIN"].values()]
        return loops[0] if loops else None

    @property
    def names(self) -> list[str]:
        """What it defines, for people."""
        return [name for text in self.texts for section in load_text(text).sections.values() for name in section]

    @property
    def shipped(self) -> dict[str, Any]:
        """What goes along with every assignment."""
        return {"code": list(self.texts)} if self else {}

    @property
    def factory(self) -> str:
        """What opens the runs: the shipped loop, or the own one."""
        return SHIPPED_LOOP if self.loop is None else OWN_LOOP

    def used_by(self, names: Iterable[str]) -> OwnCode:
        """Without the files that define neither a loop nor any of `names`: they change no result."""
        wanted = set(names)
        kept = []
        for text in self.texts:
            sections = load_text(text).sections
            if sections["TRAIN"] or any(wanted & set(section) for section in sections.values()):
                kept.append(text)
        return OwnCode(tuple(kept))


@dataclass(frozen=True)
class Offer:
    """What one file offers: section -> name -> function or class; and what each transform provides."""

    sections: Mapping[str, Mapping[str, Any]]
    provides: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


NO_CODE = OwnCode()
_offers: dict[str, Offer] = {}
_active = NO_CODE
_loading = False


def refuse_while_loading(what: str) -> None:
    """Raises RayconError inside of a file of own code that is being loaded: each worker would begin anew."""
    if _loading:
        reason = f"{what} is called by the file of own code itself; put the call under `if __name__ == '__main__':`"
        raise RayconError(reason)


def own_code(
    terms: Sequence[Callable[..., Any]] = (),
    train: Callable[..., Any] | None = None,
    files: Sequence[str | Path] | OwnCode = (),
) -> OwnCode:
    """The code of functions and files, loaded and checked. Raises InvalidFile with file and line."""
    found = files if isinstance(files, OwnCode) else OwnCode(tuple(_read(Path(path)) for path in files))
    if terms:
        found += OwnCode(text_of(terms, {"TERMS": [_name(term) for term in terms]}, "terms"))
    if train is not None:
        found += OwnCode(text_of([train], {"TRAIN": [_name(train)]}, "train"))
    for text in found.texts:
        load_text(text)
    return found


def _name(function: Any) -> str:
    return str(getattr(function, "__name__", type(function).__name__))


def _read(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidFile(f"cannot be read: {error}", file=str(path), field="--code") from None
    load_text(text, str(path))
    return text


def load_text(text: str, place: str = "") -> Offer:
    """What a text offers; it is run once a process. Raises InvalidFile with the place and line of what is wrong."""
    if text in _offers:
        return _offers[text]
    digest = hashlib.sha256(text.encode()).hexdigest()
    place = place or f"own code {digest[:8]}"
    try:
        tree = ast.parse(text, filename=place)
    except SyntaxError as error:
        raise InvalidFile(f"is not Python: {error.msg}", file=place, line=error.lineno) from None
    check_imports(tree.body, place)
    module = _run(text, place, f"raycon_own_{digest[:16]}")
    sections = {title: _listed(module, title, place) for title in SECTIONS}
    if not any(sections.values()):
        raise InvalidFile(f"offers nothing: set one of {', '.join(SECTIONS)} to a list of functions", file=place)
    provides = {name: tuple(made) for name, made in getattr(module, "PROVIDES", {}).items()}
    offer = Offer(sections, provides)
    _check(offer, place)
    _offers[text] = offer
    return offer


def _run(text: str, place: str, name: str) -> ModuleType:
    """The module of a text. Its lines are shown in tracebacks, whatever machine it runs on."""
    global _loading
    module = ModuleType(name)
    # No __file__: the text has no place of its own, and a made-up one would be taken for a path.
    shown = f"<{name}>"
    linecache.cache[shown] = (len(text), None, text.splitlines(keepends=True), shown)
    sys.modules[name] = module
    earlier, _loading = _loading, True
    try:
        exec(compile(text, shown, "exec"), module.__dict__)
    except Exception as error:
        del sys.modules[name]
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == shown]
        reason = one_line(f"{type(error).__name__}: {error}", longest=300)
        raise InvalidFile(reason, file=place, line=frames[-1].lineno if frames else None) from None
    finally:
        _loading = earlier
    return module


def _listed(module: ModuleType, title: str, place: str) -> dict[str, Any]:
    listed = getattr(module, title, [])
    if not isinstance(listed, list | tuple) or not all(callable(entry) for entry in listed):
        raise InvalidFile(f"should be a list of functions, not {listed!r}"[:200], file=place, field=title)
    names = [_name(entry) for entry in listed]
    for name in names:
        if not name.isidentifier() or names.count(name) > 1:
            raise InvalidFile(f"{name!r} is no name of its own", file=place, field=title)
    return dict(zip(names, listed, strict=True))


def _check(offer: Offer, place: str) -> None:
    """Refuses what the mechanism could not run, by name."""
    from raycon.networks.auxiliary import Auxiliary

    for name, function in {**offer.sections["TERMS"], **offer.sections["TRANSFORMS"]}.items():
        _check_tensors(name, function, place)
    for name in offer.sections["TRANSFORMS"]:
        _check_tensor_names(offer.provides.get(name, ()), f"PROVIDES[{name!r}]", place)
        if not offer.provides.get(name):
            raise InvalidFile(
                f"says nothing of {name}: set it to the names of its results", file=place, field="PROVIDES"
            )
    for name, network in offer.sections["NETWORKS"].items():
        if not (isinstance(network, type) and issubclass(network, Auxiliary)):
            raise InvalidFile(f"{name} is no subclass of Auxiliary", file=place, field="NETWORKS")
    if len(offer.sections["TRAIN"]) > 1:
        raise InvalidFile("names more than one loop", file=place, field="TRAIN")
    for name, loop in offer.sections["TRAIN"].items():
        asked = list(inspect.signature(loop).parameters)
        if not inspect.isgeneratorfunction(loop):
            raise InvalidFile(
                f"{name} yields nothing; a loop yields Scored after each epoch", file=place, field="TRAIN"
            )
        if unknown := [parameter for parameter in asked if parameter not in LOOP_ARGUMENTS]:
            reason = f"{name} asks for {unknown[0]!r}; a loop is given {', '.join(LOOP_ARGUMENTS)}"
            raise InvalidFile(reason, file=place, field="TRAIN")


def _check_tensors(name: str, function: Any, place: str) -> None:
    if not inspect.isfunction(function):
        raise InvalidFile(f"{name} is no plain function", file=place)
    line = function.__code__.co_firstlineno
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            reason = f"{name} takes {parameter}; every tensor and knob needs a name of its own"
            raise InvalidFile(reason, file=place, line=line)
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.annotation is parameter.empty:
            raise InvalidFile(f"{name}: the knob {parameter.name!r} needs a type", file=place, line=line)
    try:
        names = read_signature(function).names
    except (NameError, AttributeError, TypeError) as error:
        raise InvalidFile(f"{name}: {error}", file=place, line=line) from None
    if not names:
        raise InvalidFile(f"{name} asks for no tensor: name one as a positional parameter", file=place, line=line)
    _check_tensor_names(names, name, place, line)


def _check_tensor_names(names: Sequence[str], asker: str, place: str, line: int | None = None) -> None:
    for tensor in names:
        if tensor not in VOCABULARY:
            near = nearest(tensor, set(VOCABULARY))
            reason = f"{asker}: no tensor is called {tensor!r}{near}; a knob stands behind `*`"
            raise InvalidFile(reason, file=place, line=line)


def activate(code: OwnCode) -> None:
    """Makes the catalogues hold raycon's entries and those of `code`, and no other. Raises InvalidFile, and changes
    nothing, where a name is taken: by raycon, whose entries are never replaced, or twice."""
    global _active
    if code == _active:
        return
    catalogues = _catalogues()
    for title, entries in _entries(_active).items():
        for name in entries:
            catalogues[title].pop(name)
    added = _active
    _active = OwnCode()
    try:
        wanted = _entries(code)
        for title, entries in wanted.items():
            if taken := sorted(set(entries) & set(catalogues[title])):
                raise InvalidFile(f"{taken[0]!r} is one of raycon's own names; take another", field=title)
        added = code
    finally:
        for title, entries in _entries(added).items():
            catalogues[title].update(entries)
        _active = added


def _catalogues() -> dict[str, dict[str, Any]]:
    from raycon.losses import TERMS
    from raycon.networks import NETWORKS
    from raycon.transforms import PROVIDES, TRANSFORMS

    return {"TERMS": TERMS, "TRANSFORMS": TRANSFORMS, "NETWORKS": NETWORKS, "PROVIDES": PROVIDES}


def _entries(code: OwnCode) -> dict[str, dict[str, Any]]:
    """Catalogue -> name -> what `code` adds to it. Raises InvalidFile for a name that two files define."""
    found: dict[str, dict[str, Any]] = {"TERMS": {}, "TRANSFORMS": {}, "NETWORKS": {}, "PROVIDES": {}}
    for text in code.texts:
        offer = load_text(text)
        for title in ("TERMS", "TRANSFORMS", "NETWORKS"):
            for name, entry in offer.sections[title].items():
                if name in found[title]:
                    raise InvalidFile(f"two files define {name!r}", field=title)
                found[title][name] = entry
        found["PROVIDES"] |= {name: offer.provides[name] for name in offer.sections["TRANSFORMS"]}
    return found


def keep_code(code: OwnCode, folders: Iterable[Path | str]) -> None:
    """Writes a copy of every text into `code/` of each folder or URI, under its hash."""
    for folder in folders:
        for text, digest in zip(code.texts, code.hashes, strict=True):
            path = Path(folder) / FOLDER / f"{digest}.py"
            if is_uri(folder):
                ObjectFolder(str(folder)).write(f"{FOLDER}/{digest}.py", text.encode())
            elif not path.is_file():
                write_durably(RealDisk(), path, text.encode())


def kept_code(folder: Path) -> OwnCode:
    """The code that the sweep or repetition in `folder` was begun with; none where there is no sweep or no own code.

    Raises Refused where a copy is missing or has been changed.
    """
    stored = read_sweep_file(folder, RealDisk()) or {}
    texts = []
    for digest in stored.get("canonical", {}).get("code", []):
        path = folder / FOLDER / f"{digest}.py"
        data = path.read_bytes() if path.is_file() else None
        if data is None or hashlib.sha256(data).hexdigest() != digest:
            what = "is missing" if data is None else "has been changed"
            raise Refused(f"{path}, the own code of {folder.name}, {what}; name the file with --code")
        texts.append(data.decode())
    return OwnCode(tuple(texts))
