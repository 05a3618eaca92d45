"""Mutated files against every reader.

python -m tests.fuzz [--first N] [--count N] [--jobs N]  tries cases, prints a table, exit 1 after a violation
python -m tests.fuzz --replay N [--keep FILE]   tries one case here and shows its traceback
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--jobs", type=int, default=1, help="worker processes at a time")
    parser.add_argument("--replay", type=int)
    parser.add_argument("--keep", type=Path, help="where --replay writes the file")
    parser.add_argument("--work", type=int, nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        from tests.fuzz.worker import work

        work(list(range(*args.work)))
    elif args.replay is not None:
        _replay(args.replay, args.keep)
    else:
        from tests.fuzz.run import run

        report = run(args.first, args.count, jobs=args.jobs)
        for found in report.violations:
            print(f"--- {found['number']} ({found.get('story', '')}): replay with "
                  f"python -m tests.fuzz --replay {found['number']}\n{found['problem']}")  # fmt: skip
        print(f"\n{report.table()}")
        sys.exit(bool(report.violations))


def _replay(number: int, keep: Path | None) -> None:
    from tests.fuzz.cases import case
    from tests.fuzz.worker import outcome, prepare

    prepare()
    one = case(number)
    print(f"{one.story}; {one.way}, {one.alphabet}, {one.take}, {'logged' if one.logged else 'strict'}")
    if keep:
        keep.write_bytes(one.data)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        found = outcome(one, Path(folder))
    print(found.pop("problem", ""), found)


if __name__ == "__main__":
    main()
