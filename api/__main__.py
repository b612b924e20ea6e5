"""Serve the API and the desk: `python -m api`, the command of the API image."""

import argparse
import sys
from typing import NoReturn

from api.serve import serve
from python_jobs.errors import JobError
from python_jobs.settings import Settings


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Refuse bad arguments in one line with exit code 1; argparse's 2 would mean drift."""
        raise JobError(f"{message}.", next_step=f"see `{self.prog} --help`.")


def main(arguments: list[str]) -> int:
    """Serve the API; print an expected failure as one line on stderr."""
    parser = _Parser(prog="python -m api", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--workers", type=int, default=1)
    try:
        chosen = parser.parse_args(arguments)
        serve(Settings(), host=chosen.host, port=chosen.port, workers=chosen.workers)
    except JobError as error:
        print(f"churnhouse: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
