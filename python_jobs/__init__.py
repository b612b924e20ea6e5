"""The jobs behind the `churnhouse` command: each reads, decides, writes."""

import os

# The product makes no calls to the outside. onnxruntime sends telemetry unless this is set before
# its import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
