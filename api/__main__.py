"""`python -m api`: serve, in an image that has no other command."""

import argparse
import sys

from api.serve import serve
from python_jobs.errors import JobError
from python_jobs.settings import Settings


def main() -> int:
    """Serve; an expected failure is one line on stderr."""
    parser = argparse.ArgumentParser(prog="python -m api", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--workers", type=int, default=1)
    chosen = parser.parse_args()
    try:
        serve(Settings(), host=chosen.host, port=chosen.port, workers=chosen.workers)
    except JobError as error:
        print(f"churnhouse: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
