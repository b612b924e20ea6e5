"""The jobs behind the `churnhouse` command: each reads, decides, writes."""

import os

# onnxruntime reports to its maker unless told not to before it is imported; the product makes no
# calls to the outside.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
