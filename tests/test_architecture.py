"""The shape of the package: imports go downwards, heavy libraries stay in their rooms, functions stay short."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import raycon

PACKAGE = Path(raycon.__file__).parent
ROOT = PACKAGE.parent
MODULES = sorted(PACKAGE.rglob("*.py"))

LAYERS: tuple[tuple[str, ...], ...] = (
    ("errors", "seeding", "knobs", "runs", "observer", "methods", "hardware", "versions"),
    (
        "own_source",
        "vocabulary",
        "whole_batch",
        "metric_names",
        "column_directions",
        "wording",
        "signatures",
        "config",
        "disk",
        "object_storage",
        "collectives",
    ),
    (
        *("losses", "transforms", "statistics", "population"),
        *("checkpoints", "checkpoint_storage", "lock", "mirror", "events", "settings"),
    ),
    ("datasets", "history", "stopping", "submissions"),
    ("networks", "scores"),
    ("objective", "own_code", "fine_tuning", "further_images"),
    ("step", "optimisers"),
    ("space",),
    ("evaluation", "state", "driver", "driver_contract", "repeats", "ablation", "reuse", "importance", "comparison"),
    ("training", "own_loop", "sealed", "reporting", "judging", "tracking", "progress", "train_folder", "diagnosis"),
    ("feature_cache", "encoder_sources", "eval_request", "cluster"),
    ("results", "space_loading", "sweep_folders", "sweep_tracking"),
    ("one_trial", "execution", "searching", "repeating", "reports"),
    ("planning", "demo", "studies", "replication", "comparing", "one_pass", "starting_file"),
    ("commands",),
    ("cli", "api"),
)
"""From the bottom up. A module imports from the layers below it, and from its own package or layer."""

ROOMS = {
    "ray": ("cluster",),
    "optuna": ("cluster/sampling.py", "importance.py"),
    "mlflow": ("tracking",),
    "matplotlib": ("reporting",),
    "torchvision": ("datasets", "networks"),
    "timm": ("networks",),
}


def _name(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _level(name: str) -> int:
    return next(level for level, names in enumerate(LAYERS) if name in names)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_downwards(path: Path) -> None:
    own = _name(path)
    if own == "__init__":
        return
    for target in _imports(path):
        parts = target.split(".")
        if parts[0] == "raycon" and len(parts) > 1 and parts[1] != own:
            assert _level(parts[1]) <= _level(own), f"{own} imports {target}"


def test_every_module_has_a_layer() -> None:
    assert {_name(path) for path in MODULES} - {"__init__"} == {name for layer in LAYERS for name in layer}


def test_layers_have_no_circles() -> None:
    """Within a layer modules may import one another, but not in a circle."""
    graph = {name: set() for layer in LAYERS for name in layer}  # type: dict[str, set[str]]
    for path in MODULES:
        own = _name(path)
        if own != "__init__":
            graph[own] |= {t.split(".")[1] for t in _imports(path) if t.startswith("raycon.")} - {own}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join([*trail, name])
        if name not in done:
            for other in graph.get(name, ()):
                visit(other, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())


@pytest.mark.parametrize("library", ROOMS)
def test_heavy_libraries_stay_in_their_rooms(library: str) -> None:
    for path in MODULES:
        where = str(path.relative_to(PACKAGE))
        if any(target.split(".")[0] == library for target in _imports(path)):
            assert where.startswith(ROOMS[library]), f"{where} imports {library}"


def test_losses_import_torch_alone() -> None:
    for path in (PACKAGE / "losses").glob("*.py"):
        others = {target.split(".")[0] for target in _imports(path)} - {
            "raycon",
            "torch",
            "__future__",
            "typing",
            "collections",
            "math",
        }
        assert not others, f"{path.name}: {others}"


@pytest.mark.parametrize("folder", ["raycon", "tests"])
def test_no_function_is_longer_than_60_lines(folder: str) -> None:
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                assert length <= 60, f"{path}:{node.lineno} {node.name} has {length} lines"


def test_every_module_says_its_job() -> None:
    for path in MODULES:
        assert ast.get_docstring(ast.parse(path.read_text())), path


def test_no_module_has_a_name_that_says_nothing() -> None:
    assert not {path.stem for path in MODULES} & {"utils", "util", "common", "base", "helpers", "misc"}


def test_mypy_is_strict_and_excludes_nothing() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]
    assert settings["strict"] is True
    assert settings["exclude"] == []


HEAVY = ("torch", "ray", "optuna", "mlflow", "scipy.stats", "scipy.optimize", "sklearn", "torchvision", "pandas")
VALID = "search_spaces/digits_demo.yaml"


def _loaded(code: str, tmp_path: Path) -> set[str]:
    """Which of the heavy libraries a fresh process has loaded after running `code`."""
    script = f"import sys\n{code}\nprint('LOADED', *[n for n in {HEAVY!r} if n in sys.modules])"
    found = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    lines = [line for line in found.stdout.splitlines() if line.startswith("LOADED")]
    assert lines, found.stderr
    return set(lines[-1].split()[1:])


def _command(*arguments: str) -> str:
    call = f"from raycon.cli import main\ntry:\n    main({list(arguments)!r})"
    return f"{call}\nexcept SystemExit as end:\n    assert end.code == 0, end.code"


@pytest.mark.parametrize("arguments", [["--help"], ["sweep", "--help"], ["runs", "ls", "--out", "nowhere"]])
def test_what_should_be_quick_loads_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    assert _loaded(_command(*arguments), tmp_path) == set()


def test_importing_the_package_loads_nothing_heavy(tmp_path: Path) -> None:
    assert _loaded("import raycon, raycon.api, raycon.cluster", tmp_path) == set()


def test_a_process_that_trains_loads_torch_alone(tmp_path: Path) -> None:
    """There is one for each worker of each run, and each pays for what it loads."""
    assert _loaded("import raycon.training", tmp_path) == {"torch"}


@pytest.mark.parametrize("command", ["explain", "plan"])
def test_looking_at_a_file_loads_torch_at_most(command: str, tmp_path: Path) -> None:
    assert _loaded(_command(command, VALID), tmp_path) <= {"torch"}


@pytest.mark.parametrize(
    "text",
    [
        "trial: [",
        "trial: {objective: {supcon: {}}, training: {epochs: many}}",
        "trial: {objective: {supcon: {}}, trainig: {}}",
        "trial: {objective: {supcon: {temperature: {log_uniform: [0, 1]}}}}",
        "trial: {objective: {supcon: {}}}\nsweep: {maximize: test/linear_probe/accuracy}",
    ],
)
def test_a_wrong_file_is_refused_before_torch_is_loaded(text: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    code = _command("explain", str(path)).replace("end.code == 0", "end.code == 2")
    assert _loaded(code, tmp_path) == set()
