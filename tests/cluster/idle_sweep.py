"""A sweep over idle runs as a program that can be killed: `python -m tests.cluster.idle_sweep FOLDER JSON`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from raycon.cluster.overhead import FACTORY, idle_driver
from raycon.cluster.search import run_sweep
from raycon.lock import FolderLock
from tests.cluster.inline import make_sweep


def main(folder: Path, options: dict[str, Any]) -> int:
    """Run or continue the sweep; exit code 130 when it was interrupted in good order."""
    sweep = make_sweep(**options["sweep"])
    with FolderLock(folder):
        driver = idle_driver(folder, sweep, options["trial"])
        driver.open()
        try:
            run_sweep(driver, sweep, factory=FACTORY, slots=options["slots"], resources={"cpu": 0.5}, folder=folder)
        except KeyboardInterrupt:
            return 130
        finally:
            driver.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), json.loads(sys.argv[2])))
