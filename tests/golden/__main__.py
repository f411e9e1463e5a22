"""`python -m tests.golden DIR [--only FAMILY ...]`: all vectors of a folder, a line a family, totals of vectors last.

Exit code 0 when all passed, 1 when some failed, 2 when the folder or a family asked for has no vectors.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.golden.check import check_families
from tests.golden.vectors import NoVectors, read_vectors


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.golden", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--only", nargs="+", default=[], metavar="FAMILY")
    options = parser.parse_args(arguments)
    try:
        results = check_families(read_vectors(options.folder), options.only)
    except NoVectors as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for result in results:
        print(result.line())
    failed = sum(result.failed for result in results)
    print(f"{sum(result.passed for result in results)} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
