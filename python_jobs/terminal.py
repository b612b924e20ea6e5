"""What a person sees: one line a step, with a bar on a terminal and plain lines elsewhere."""

import contextlib
import csv
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from python_jobs.files import harmless

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)


class Step:
    """One running step, which shows its progress, its present activity and its result."""

    def __init__(self, advance: Callable[..., None]) -> None:
        self._advance = advance
        self.result = ""

    def count(self, done: int, total: int) -> None:
        """Show that `done` of `total` are done."""
        self._advance(completed=done, total=total)

    def say(self, line: str) -> None:
        """Show what is being done now."""
        self._advance(doing=line)


@contextlib.contextmanager
def step(name: str) -> Iterator[Step]:
    """Show a step while it runs; leave one line behind when it is done."""
    started = time.monotonic()
    columns = (
        SpinnerColumn("dots" if console.encoding.startswith("utf") else "line"),
        TextColumn("{task.description:<9}"),
        BarColumn(bar_width=20),
        TextColumn("{task.fields[doing]}"),
        TimeElapsedColumn(),
    )
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task(name, total=None, doing="")
        running = Step(lambda **fields: bar.update(task, **fields))
        yield running
    seconds = time.monotonic() - started
    console.print(f"{name:<10}{running.result:<58}{seconds:>8.1f} s", soft_wrap=True)


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
    facts.add_row("base rate", f"{manifest['base_rate']:.1%} of eligible users churn")
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
    console.print(
        f"{len(chosen.users):,} users of {manifest['as_of_date']}: to contact them costs "
        f"{_money(chosen.cost)} and is expected to gain {_money(gain[0])} "
        f"({_money(gain[1])} to {_money(gain[2])}), the cost deducted.",
        soft_wrap=True,
    )


def print_csv(columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
    """Print rows as CSV; text that a spreadsheet would read as a formula gets an apostrophe."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([harmless(row[name]) for name in columns])


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
    if not dates:
        console.print("Nobody has been scored yet.")


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
    shown = report.dates if len(report.dates) <= 8 else [*report.dates[:4], *report.dates[-4:]]
    for day, users, rate in shown:
        facts.add_row(f"{day}", f"{users:>9,} eligible, {rate:.1%} silent for {horizon_days} days")
    console.print(facts)
    for what, next_step in report.problems:
        console.print(f"problem: {what}. Next: {next_step}", markup=False, soft_wrap=True)


def show_new_domain(made: Any, place: str) -> None:
    """Print what `init` saw and wrote, and what to do next."""
    seen = made.seen
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bold")
    facts.add_column(overflow="fold")
    facts.add_row("rows", f"{seen.rows:,}, {seen.first_day} to {seen.last_day}")
    for what, column in (("user", seen.user), ("time", seen.time), ("type", seen.type)):
        facts.add_row(what, column or "none")
    facts.add_row("event id", seen.id or "none: a hash of the row, so exact copies are repeats")
    for name, count in list(seen.types.items())[:10]:
        facts.add_row("", f"{count:>9,}  {name}")
    facts.add_row("measured", ", ".join(seen.numbers) or "counts only")
    facts.add_row("settings", str(made.plan))
    console.print(facts)
    show_silences(made.silences)
    name, folder = made.domain.name, made.domain.folder
    raw = "" if "database" in seen.source else f" --raw {place}"
    console.print(f"\nWritten: {folder}/domain.yml and ingest.sql.", soft_wrap=True)
    console.print(
        "Look at: event_types (is_activity), churn_horizon_days, timezone. Next:\n"
        f"  churnhouse doctor --domain {name}{raw}\n  churnhouse run --domain {name}{raw}",
        soft_wrap=True,
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
