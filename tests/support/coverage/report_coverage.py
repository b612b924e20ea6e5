"""Print lines of python_jobs and api that no test ran; fail below a percentage.

python tests/support/coverage/report_coverage.py FOLDER PERCENT
"""

import json
import sys
from pathlib import Path

import slipcover
from sitecustomize import PACKAGES
from slipcover.slipcover import add_summaries


def added_up(folder: Path) -> dict:
    """Return all processes' coverage in slipcover's form, with files that never ran."""
    every_line = slipcover.Slipcover(
        branch=True,
        source=[str(package) for package in PACKAGES],
        exclude_also=["if TYPE_CHECKING:", "if __name__ == .__main__.:"],
    )
    total = every_line.get_coverage()
    lines: dict[str, set[int]] = {}
    branches: dict[str, set[tuple[int, int]]] = {}
    for path in folder.glob("*/*.json"):
        for name, (ran, taken) in json.loads(path.read_text(encoding="utf-8")).items():
            lines.setdefault(name, set()).update(ran)
            branches.setdefault(name, set()).update(map(tuple, taken))
    for name, file in total["files"].items():
        name = str(Path(name).resolve())
        _move(file, "lines", lines.get(name, set()))
        file["missing_branches"] = [tuple(branch) for branch in file["missing_branches"]]
        _move(file, "branches", branches.get(name, set()))
    add_summaries(total)
    return total


def _move(file: dict, what: str, ran: set) -> None:
    """Move what ran from missing to executed."""
    missing = set(file[f"missing_{what}"])
    file[f"executed_{what}"] = sorted(missing & ran)
    file[f"missing_{what}"] = sorted(missing - ran)


def main(folder: str, least: str) -> int:
    """Print files that did not run fully; return 1 if the total is below `least` percent."""
    total = added_up(Path(folder))
    slipcover.print_coverage(total, skip_covered=True, missing_width=60)
    percent = total["summary"]["percent_covered"]
    print(f"coverage: {percent:.1f} % of lines and branches of python_jobs and api.")
    if percent < float(least):
        print(f"coverage: {least} % are asked for. Next: test what is listed as missing above.")
    return int(percent < float(least))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
