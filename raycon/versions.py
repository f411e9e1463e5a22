"""Which versions of raycon and of what it computes with are installed."""

from __future__ import annotations

import subprocess
from pathlib import Path


def installed_versions() -> dict[str, str]:
    """Versions of raycon and of what a result may depend on, without importing any of it, and the git `commit` where
    raycon runs from a checkout."""
    from importlib import metadata

    found = {}
    for name in ("raycon", "torch", "torchvision", "numpy", "ray", "optuna", "scikit-learn"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    commit = _commit(Path(__file__).parents[1])
    return found | ({"commit": commit} if commit else {})


def _commit(checkout: Path) -> str:
    """The commit that is checked out; empty where this is no checkout, or git is not there or does not answer."""
    if not (checkout / ".git").exists():
        return ""
    # The folder is named outright: git's environment may point elsewhere, as it does within a hook.
    command = ["git", f"--git-dir={checkout / '.git'}", "rev-parse", "--verify", "HEAD"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=2, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    return answer.stdout.strip() if answer.returncode == 0 else ""
