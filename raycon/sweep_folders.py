"""Which folder of the output folder is whose: a sweep's by its name, its fork's, those of its repetitions."""

from __future__ import annotations

from pathlib import Path

from raycon.disk import RealDisk
from raycon.errors import InvalidFile, Refused, nearest
from raycon.history import LOG_NAME, read_sweep_file
from raycon.results import SweepResult
from raycon.settings import Settings
from raycon.space import Space, name_of


def find_sweep(name: str, settings: Settings = Settings()) -> Path:
    """The folder of a sweep by its name, or by the path of its folder or file. Raises InvalidFile with a near name."""
    for candidate in (settings.folder / name, Path(name)):
        if (candidate / LOG_NAME).is_file():
            return candidate.resolve()
    if Path(name).suffix in (".yaml", ".yml") and Path(name).is_file():
        return find_sweep(name_of(name), settings)
    known = sorted(path.parent.name for path in settings.folder.glob(f"*/{LOG_NAME}"))
    raise InvalidFile(
        f"no sweep {name!r} in {settings.folder}{nearest(name, known)}; there: {', '.join(known) or 'none'}"
    )


def found_sweep(space: Space, settings: Settings = Settings()) -> SweepResult:
    """The sweep of a space that has been run already. Raises InvalidFile if there is none, Refused if the folder of its
    name holds another search and no fork is there."""
    folder = own_folder(space, settings)
    if not (folder / LOG_NAME).is_file():
        find_sweep(space.name, settings)
        raise Refused(f"{settings.folder / space.name} holds another search; the file has changed since it was run")
    return SweepResult(space, folder, settings)


def own_folder(space: Space, settings: Settings) -> Path:
    """The folder of this very search: that of its name, or, where another search has that one, its fork."""
    plain = settings.folder / space.name
    stored = read_sweep_file(plain, RealDisk())
    if stored is None or stored.get("identity") == space.identity():
        return plain
    return settings.folder / f"{space.name[:50]}-{space.identity()[:8]}"


def repeats_of(name: str, settings: Settings = Settings()) -> list[Path]:
    """The folders of the repetitions of a sweep, by name."""
    found = []
    for path in sorted(settings.folder.glob(f"*-repeat-*/{LOG_NAME}")):
        stored = read_sweep_file(path.parent, RealDisk()) or {}
        if stored.get("canonical", {}).get("repeat_of") == name:
            found.append(path.parent)
    return found
