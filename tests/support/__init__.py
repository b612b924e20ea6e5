"""Shared by tests: data, servers and processes."""

import os

# Threads of OpenMP wait by spinning: beside the other workers of pytest they cost many times
# what they save. Set before a library that uses them is loaded.
os.environ.setdefault("OMP_NUM_THREADS", "1")
