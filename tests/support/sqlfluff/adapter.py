"""dbt's `adapter` as sqlfluff's templater sees it: a macro is dispatched to DuckDB's."""

from collections.abc import Callable

import jinja2


def dispatch(name: str, namespace: str) -> Callable:
    """Return the DuckDB version of a macro."""

    @jinja2.pass_context
    def call(context: jinja2.runtime.Context, *arguments: object) -> object:
        return context[f"duckdb__{name}"](*arguments)

    return call


def quote(name: str) -> str:
    """Return a name in quotes, as DuckDB takes it."""
    return f'"{name}"'
