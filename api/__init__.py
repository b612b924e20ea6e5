"""The API and the desk. create_app(settings) returns an app that reads only published/.

It needs FastAPI, onnxruntime, prometheus-client, Jinja2 and sqlite3; never dbt, DuckDB, pandas or
scikit-learn. Every handler is async and answers on the event loop.
"""

from api.app import create_app
from api.settings import ApiSettings

__all__ = ["ApiSettings", "create_app"]
