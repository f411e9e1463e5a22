"""What travels of a script: all that a function needs, and nothing that stands beside it."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from raycon.errors import InvalidFile
from raycon.own_source import text_of

SCRIPT = '''\
"""A script that would do harm if it were run again."""

from __future__ import annotations

import math
import torch
from torch import Tensor
from raycon.knobs import Positive

SHARPNESS = 2.0
UNUSED = open(__file__)
scale: float = SHARPNESS * math.pi


def helper(value: Tensor) -> Tensor:
    UNUSED = 1  # a name of its own, which is not the one above
    return value * scale + UNUSED


def my_loss(features: Tensor, *, strength: Positive = 1.0) -> Tensor:
    """Adds up."""

    def inner() -> Tensor:
        return helper(features).sum()

    return inner() * strength


def another(features: Tensor) -> Tensor:
    return torch.zeros(())


class Holder:
    def method(self) -> None: ...


def maker() -> object:
    def within(features: Tensor) -> Tensor:
        return features.sum()

    return within


nameless = lambda features: features.sum()

if __name__ == "__main__":
    raise SystemExit("run again")
'''


@pytest.fixture
def script(tmp_path: Path) -> ModuleType:
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    spec = importlib.util.spec_from_file_location("script_of_test", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["script_of_test"] = module
    spec.loader.exec_module(module)
    return module


def text(*functions: Callable[..., Any]) -> str:
    (found,) = text_of(functions, {"TERMS": [f.__name__ for f in functions]}, "terms")
    return found


def test_the_text_holds_what_the_function_needs_and_no_more(script: ModuleType) -> None:
    found = text(script.my_loss)
    for piece in (
        "from __future__",
        "import math",
        "from raycon.knobs import Positive",
        "SHARPNESS = 2.0",
        "def helper",
    ):
        assert piece in found
    for piece in ("UNUSED = open", "another", "Holder", "SystemExit", "nameless", "import torch\n"):
        assert piece not in found
    assert found.endswith("TERMS = [my_loss]\n")
    scope: dict[str, Any] = {}
    exec(found, scope)
    import torch

    values = torch.ones(2, 2)
    assert scope["my_loss"](values, strength=3.0) == script.my_loss(values, strength=3.0)


def test_what_stands_beside_a_function_does_not_change_its_text(script: ModuleType, tmp_path: Path) -> None:
    before = text(script.my_loss)
    path = Path(str(script.__file__))
    path.write_text(SCRIPT.replace("def another", "def other").replace("run again", "begin again"))
    import linecache

    linecache.checkcache()
    assert text(script.my_loss) == before


def test_two_functions_of_a_file_share_a_text(script: ModuleType) -> None:
    found = text(script.my_loss, script.another)
    assert found.endswith("TERMS = [my_loss, another]\n") and "import torch\n" in found


@pytest.mark.parametrize(
    ("choose", "reason"),
    [
        (lambda script: script.nameless, "a lambda has no name"),
        (lambda script: script.maker(), "defined inside of something"),
        (lambda script: script.Holder.method, "defined inside of something"),
        (lambda script: script.Holder, "no plain function"),
        (lambda script: "supcon", "no plain function"),
        (lambda script: made_in_a_console(), "not to be found"),
    ],
)
def test_what_has_no_text_of_its_own_is_refused(
    choose: Callable[[ModuleType], Any], reason: str, script: ModuleType
) -> None:
    with pytest.raises(InvalidFile, match=f"^terms: .*{reason}"):
        text_of([choose(script)], {"TERMS": ["x"]}, "terms")


def made_in_a_console() -> Any:
    scope: dict[str, Any] = {"__name__": "__main__"}
    exec(compile("def typed(features):\n    return features.sum()", "<stdin>", "exec"), scope)
    return scope["typed"]


def test_a_name_that_the_file_does_not_define_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "lacking.py"
    path.write_text("def my_loss(features):\n    return missing(features)\n")
    scope: dict[str, Any] = {}
    exec(compile(path.read_text(), str(path), "exec"), scope)
    with pytest.raises(InvalidFile, match=r"lacking\.py: needs 'missing'"):
        text(scope["my_loss"])


def test_a_file_beside_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("def half(x):\n    return x / 2\n")
    path = tmp_path / "own.py"
    path.write_text("\nfrom beside import half\n\ndef my_loss(features):\n    return half(features.sum())\n")
    scope: dict[str, Any] = {}
    sys.path.insert(0, str(tmp_path))
    try:
        exec(compile(path.read_text(), str(path), "exec"), scope)
    finally:
        sys.path.remove(str(tmp_path))
    with pytest.raises(InvalidFile, match=r"own\.py:2: own code is one file, and 'beside' is another"):
        text(scope["my_loss"])
