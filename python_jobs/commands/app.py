"""The application that the subcommands belong to, and the modules that they share."""

import importlib.util
import sys
from types import ModuleType

import typer

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _at_first_use(name: str) -> ModuleType:
    """Return a module that is loaded on first use, so that `serve` needs no jobs library."""
    if name not in sys.modules:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            raise ModuleNotFoundError(name)
        spec.loader = importlib.util.LazyLoader(spec.loader)
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


domains = _at_first_use("python_jobs.ingest.domain")
pipeline = _at_first_use("python_jobs.pipeline")
warehouse = _at_first_use("python_jobs.warehouse.connection")
job_runs = _at_first_use("python_jobs.warehouse.job_runs")
remote = _at_first_use("python_jobs.ingest.remote")
