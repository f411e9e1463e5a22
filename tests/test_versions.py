"""The versions that a log is opened with: where raycon runs from a git checkout, its commit is among them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from raycon import versions


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=n", "-c", "user.email=e@x")
    return subprocess.run(
        ["git", "-C", str(folder), *who, *arguments], check=True, capture_output=True, text=True
    ).stdout


def test_the_commit_of_a_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE"):
        monkeypatch.delenv(name, raising=False)
    git(tmp_path, "init", "-q")
    monkeypatch.setattr(versions, "__file__", str(tmp_path / "raycon" / "versions.py"))
    assert "commit" not in versions.installed_versions()
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "first")
    commit = git(tmp_path, "rev-parse", "HEAD").strip()
    # Within a hook git's environment may name another repository.
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    assert versions.installed_versions()["commit"] == commit and len(commit) == 40


def test_no_checkout_or_no_git_means_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "__file__", str(tmp_path / "raycon" / "versions.py"))
    assert "commit" not in versions.installed_versions()
    (tmp_path / ".git").mkdir()
    monkeypatch.setenv("PATH", "")
    assert "commit" not in versions.installed_versions()
