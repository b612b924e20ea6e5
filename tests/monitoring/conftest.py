"""The real API's helpers, for a real Prometheus to look at."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "api"))  # running, versions
