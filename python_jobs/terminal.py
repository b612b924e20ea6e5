"""What a person sees: one line a step with a bar on a terminal; elsewhere JSON lines, a log."""

import contextlib
import csv
import json
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from python_jobs.files import harmless

if TYPE_CHECKING:
    from python_jobs.settings import Settings

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)

LEVELS = ("debug", "info", "warning", "error")


@dataclass
class Log:
    """How the log is written: as JSON or as text, and from which level on."""

    is_json: bool = False
    level: str = "info"

    def shows(self, level: str) -> bool:
        """Return whether lines of a level are written."""
        return LEVELS.index(level) >= LEVELS.index(self.level)


_log = Log()


@dataclass(frozen=True)
class Finished:
    """A step that ended, well or not; see Step for rows. The memory is the most until then."""

    step: str
    started_at: datetime
    seconds: float
    is_done: bool
    rows: int | None
    rejected_rows: int | None
    peak_memory_bytes: int


finished: list[Finished] = []
"""The steps of this process that nobody has taken yet."""


def log_as(settings: "Settings") -> None:
    """Take form and level of the log from the settings; it is JSON where nobody looks on."""
    is_json = settings.log_format == "json"
    if settings.log_format == "auto":
        is_json = not sys.stderr.isatty()
    _log.is_json, _log.level = is_json, settings.log_level


def _line(level: str, event: str, message: str, **fields: object) -> None:
    """Write a line of the log as JSON on standard error, as the API writes its own."""
    moment = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    content = {"time": moment, "event": event, "level": level, **fields, "message": message}
    sys.stderr.write(json.dumps(content, ensure_ascii=False) + "\n")
    sys.stderr.flush()


def say(text: str, to: Console | None = None, indent: int = 0) -> None:
    """Print a line, which a terminal shows wrapped between words and a file keeps whole."""
    to = to or console
    if to.is_terminal:
        to.print(Padding(Text(text), (0, 0, 0, indent)))
    else:
        to.print(" " * indent + text, markup=False, soft_wrap=True)


def note(text: str, level: str = "info") -> None:
    """Say what a step found; a warning goes to standard error."""
    if not _log.shows(level):
        return
    if _log.is_json:
        _line(level, "note", text)
    elif level == "warning":
        say(f"warning: {text}", errors)
    else:
        say(text, indent=2)


def failed(text: str) -> None:
    """Say why the command ends, and what to do next."""
    if _log.is_json:
        _line("error", "failed", text)
    else:
        say(f"churnhouse: {text}", errors)


class Step:
    """One running step, which shows its progress, its present activity and its result.

    `rows`: what it read or wrote; `rejected_rows`: those it refused. None where there is none.
    """

    def __init__(self, name: str, advance: Callable[..., None]) -> None:
        self._name, self._advance = name, advance
        self.result = ""
        self.rows: int | None = None
        self.rejected_rows: int | None = None

    def count(self, done: int, total: int) -> None:
        """Show that `done` of `total` are done."""
        self._advance(completed=done, total=total)

    def say(self, line: str) -> None:
        """Show what is being done now."""
        self._advance(doing=line)
        if _log.is_json and _log.shows("debug"):
            _line("debug", "progress", line, step=self._name)


@contextlib.contextmanager
def step(name: str) -> Iterator[Step]:
    """Show a step while it runs; leave one line behind when it is done."""
    started_at, started = datetime.now(UTC).replace(tzinfo=None), time.monotonic()
    columns = (
        SpinnerColumn("dots" if console.encoding.startswith("utf") else "line"),
        TextColumn("{task.description:<9}"),
        BarColumn(bar_width=20),
        TextColumn("{task.fields[doing]}"),
        TimeElapsedColumn(),
    )
    is_done = False
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task(name, total=None, doing="")
        running = Step(name, lambda **fields: bar.update(task, **fields))
        try:
            yield running
            is_done = True
        finally:
            seconds = time.monotonic() - started
            rows = running.rows, running.rejected_rows
            finished.append(Finished(name, started_at, seconds, is_done, *rows, _peak_memory()))
    if _log.is_json and _log.shows("info"):
        _line("info", "step", running.result, step=name, seconds=round(seconds, 3))
    elif _log.shows("info"):
        _show_result(name, running.result, seconds)


def _show_result(name: str, result: str, seconds: float) -> None:
    """Print the line of a step that is done; on a terminal a long result is folded."""
    if not console.is_terminal:
        say(f"{name:<10}{result:<58}{seconds:>8.1f} s")
        return
    row = Table.grid()
    row.add_column(width=10)
    row.add_column(width=58)
    row.add_column(width=10, justify="right", vertical="bottom")
    row.add_row(name, Text(result), f"{seconds:.1f} s")
    console.print(row)


def _peak_memory() -> int:
    """Return the most memory in bytes that this process has held so far."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def show(manifest: dict[str, Any], age: str, where: str) -> None:
    """Print the short table that ends a run and that `status` shows."""
    model = manifest["model"]
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bold")
    facts.add_column(overflow="fold")
    facts.add_row("domain", manifest["domain"])
    zone = manifest.get("timezone", "UTC")
    days = f"{manifest['data_from']} to {manifest['data_through']}"
    facts.add_row("data", days if zone == "UTC" else f"{days}, days of {zone}")
    if unknown := manifest.get("unknown_days"):
        facts.add_row("", f"{len(unknown)} unknown days, the last one {unknown[-1]}")
    facts.add_row("users", f"{manifest['users']:,}")
    facts.add_row("events", f"{manifest['events']:,} accepted")
    rejected = manifest["rejected"]
    facts.add_row("rejected", f"{sum(rejected.values()):,} rows")
    for reason, rows in rejected.items():
        facts.add_row("", f"{rows:>9,}  {reason}")
    for name, counts in (("set aside", "set_aside"), ("excluded", "excluded_users")):
        for number, (reason, rows) in enumerate(manifest.get(counts, {}).items()):
            facts.add_row("" if number else name, f"{rows:>9,}  {reason}")
    facts.add_row("user-days", f"{manifest['user_days']:,}")
    rate = manifest["base_rate"]
    churn = "unknown: no label is closed" if rate is None else f"{rate:.1%} of eligible users churn"
    facts.add_row("base rate", churn)
    if expected := manifest.get("expected"):
        facts.add_row("expected", expected_losses(expected))
    facts.add_row("model", f"{model.get('kind', model['estimator'])}, {manifest['model_version']}")
    facts.add_row(
        "held out",
        model.get("unjudged")
        or f"ROC AUC {_number(model['roc_auc'])}, average precision "
        f"{_number(model['average_precision'])}, precision@50 {_share(model['precision_at_50'])}",
    )
    order = manifest.get("list", {}).get("order", "risk")
    label = "riskiest" if order == "risk" else f"most {order}"
    facts.add_row(
        label, f"of {manifest['as_of_date']}, eligible, not in the holdout nor just called"
    )
    for user in manifest["riskiest"]:
        facts.add_row("", f"{user['churn_risk']:>8.1%}  {user['user_id']}")
    if not manifest["riskiest"]:
        facts.add_row("", "nobody: see `churnhouse list`")
    facts.add_row("published", f"{manifest['version']}, {age} ago")
    facts.add_row("", where)
    console.print()
    console.print(facts)


def expected_losses(expected: dict[str, Any], width: int = 69) -> str:
    """Return the horizon's expected churners and loss, and the first week's where they fit too."""
    week = expected["first_week"]
    total = f"{expected['churners']:,.0f} leavers (loss {_money(expected['loss'])})"
    soon = f", {week['leavers']:,.0f} of them by {week['until']} (loss {_money(week['loss'])})"
    return total + soon if len(total + soon) <= width else total


def show_list(chosen: Any, manifest: dict[str, Any]) -> None:
    """Print a list of whom to contact, and what it costs and is expected to gain."""
    table = _table("user", "risk", "worth", "loss", "gain", "95 % interval", "last contact")
    for user in chosen.users:
        table.add_row(
            user["user_id"],
            _share(user["churn_risk"]),
            *(_money(user[name]) for name in ("user_value", "expected_loss", "expected_gain")),
            f"{_money(user['expected_gain_low'])} to {_money(user['expected_gain_high'])}",
            str(user["last_contact_on"] or ""),
        )
    console.print(table)
    gain = [chosen.total(f"expected_gain{end}") for end in ("", "_low", "_high")]
    say(
        f"{len(chosen.users):,} users of {manifest['as_of_date']}: to contact them costs "
        f"{_money(chosen.cost)} and is expected to gain {_money(gain[0])} "
        f"({_money(gain[1])} to {_money(gain[2])}), the cost deducted."
    )
    if costly := sum(user["expected_gain"] < 0 for user in chosen.users):
        say(f"{costly:,} of them cost more than they bring; --order gain leaves them out.")
    if chosen.measured:
        console.print(f"Save rates rest on {chosen.measured:,} contacts with an outcome.")
    else:
        console.print("No contact has an outcome yet: gains rest on the save_rate of domain.yml.")


def print_csv(columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
    """Print rows as CSV, values as in the nightly files; no text is a formula."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        values = (row[name] for name in columns)
        writer.writerow(
            [str(value).lower() if isinstance(value, bool) else harmless(value) for value in values]
        )


def show_outcomes(dates: list[dict[str, Any]]) -> None:
    """Print realised against expected churn, newest scoring date first."""
    table = _table("scored", "users", "churned", "expected", "realised", "AP", "ROC AUC")
    for row in dates:
        table.add_row(
            str(row["as_of_date"]),
            f"{row['users']:,}",
            *(_share(row[name]) for name in ("base_rate", "expected_precision_at_top_k")),
            _share(row["precision_at_top_k"]),
            *(_number(row[name]) for name in ("average_precision", "roc_auc")),
        )
    console.print(table)
    console.print(
        "expected and realised: churners among the riskiest, as many as the list is long; "
        "empty until the labels are closed."
        if dates
        else "Nobody has been scored yet."
    )


def show_models(versions: list[dict[str, Any]]) -> None:
    """Print the model versions, newest first."""
    table = _table("version", "status", "AP", "ROC AUC", "prec@50", "approved by")
    for row in versions:
        table.add_row(
            row["version"],
            row["status"],
            _number(row.get("average_precision")),
            _number(row.get("roc_auc")),
            _share(row.get("precision_at_50")),
            row.get("approved_by") or "",
        )
    console.print(table)


def show_drift(drift: dict[str, Any], where: str) -> None:
    """Print the drift of the predictions and of the features that drift most."""
    table = _table("feature", "PSI", "status", "noise", "reference", "current")
    shown = [row for row in drift["features"] if row["status"] != "ok"] or drift["features"][:5]
    for row in [*drift["predictions"], *shown]:
        table.add_row(
            row["feature"],
            _number(row["psi"]),
            row["status"],
            _number(row["noise_psi"]),
            f"{row['reference_rows']:,}",
            f"{row['current_rows']:,}",
        )
    console.print(table)
    if drift.get("unknown_days"):
        console.print(
            f"{len(drift['unknown_days'])} unknown days are in the windows that were compared, the "
            f"last one {drift['unknown_days'][-1]}; windows skip them."
        )
    console.print(
        f"{drift['status']}: {len(drift['features'])} features as of {drift['as_of_date']}; {where}"
    )


def show_silences(found: list[Any]) -> None:
    """Print for each horizon how many silent users came back, as a table with bars."""
    table = _table("silent days", "spells", "came back")
    table.add_column("")
    for one in found:
        bar = "█" * round((one.share or 0) * 40) if console.encoding.startswith("utf") else ""
        table.add_row(str(one.days), f"{one.spells:,}", _share(one.share), bar)
    console.print(table)
    console.print(
        "A user who was silent that long came back later anyway in this share of cases. Choose "
        "a churn_horizon_days after which few come back.",
    )


def show_domain_report(report: Any, horizon_days: int) -> None:
    """Print what a domain's data hold, and each problem with what to do."""
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bold")
    facts.add_column(overflow="fold")
    facts.add_row("events", f"{report.rows['events']:,} rows read")
    for one in report.rejected:
        sample = f", for example {one.sample!r}" if one.sample is not None else ""
        facts.add_row("", f"{one.rows:>9,}  {one.table} rejected: {one.reason}{sample}")
    facts.add_row("users", f"{report.users:,} with activity")
    facts.add_row("days", f"{report.first_day} to {report.last_day}")
    for note in report.notes:
        facts.add_row("note", note)
    left_out = len(report.dates) - 8
    for number, (day, users, rate) in enumerate(report.dates):
        if left_out <= 0 or number < 4 or number >= 4 + left_out:
            what = f"{users:>9,} eligible, {rate:.1%} silent for {horizon_days} days"
            facts.add_row(f"{day}", what)
        elif number == 4:
            facts.add_row("...", f"{left_out:>9,} more {'date' if left_out == 1 else 'dates'}")
    console.print(facts)
    for what, next_step in report.problems:
        say(f"problem: {what}. Next: {next_step}")
    if not report.problems:
        console.print(
            f"Enough to train on: {len(report.dates)} dates with "
            f"{sum(users for _, users, _ in report.dates):,} rows, {report.churners:,} of them "
            "churned.",
        )


def show_new_domain(made: Any, place: str) -> None:
    """Print what `init` saw and wrote, and what to do next."""
    seen = made.seen
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bold")
    facts.add_column(overflow="fold")
    facts.add_row("rows", f"{seen.rows:,}, {seen.first_day} to {seen.last_day}")
    for what, column in (("user", seen.user), ("time", seen.time), ("type", seen.type)):
        facts.add_row(what, column or "none")
    zone = made.domain.vars.timezone
    by_default = "; if times or days are local, name their zone in domain.yml before ingest"
    facts.add_row("timezone", zone + by_default * (zone == "UTC"))
    facts.add_row("event id", seen.id or "none: a hash of the row, so exact copies are repeats")
    for name, count in list(seen.types.items())[:10]:
        facts.add_row("", f"{count:>9,}  {name}")
    facts.add_row("measured", ", ".join(seen.numbers) or "counts only")
    facts.add_row("settings", str(made.plan))
    for text in seen.notes:
        facts.add_row("note", text)
    console.print(facts)
    show_silences(made.silences)
    if made.returned:
        console.print(
            f"churn_horizon_days is {made.plan.horizon}, after which {made.returned:.0%} came back:"
            " choose a longer one as soon as the history allows it."
        )
    name, folder = made.domain.name, made.domain.folder
    raw = "" if "database" in seen.source else f" --raw {place}"
    say(f"\nWritten: {folder}/domain.yml and ingest.sql.")
    say(
        "Look at: event_types (is_activity), churn_horizon_days, timezone. Next:\n"
        f"  churnhouse doctor --domain {name}{raw}\n  churnhouse run --domain {name}{raw}"
    )


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in columns:
        is_left = name in ("scored", "feature", "version", "status", "user")
        table.add_column(
            name, justify="left" if is_left else "right", no_wrap=name in ("version", "user")
        )
    return table


def _money(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,.2f}".removesuffix(".00")


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
