"""The report page of a version: one self-contained HTML file, for the screen and for print."""

import html
import io
import re
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from python_jobs.publication.feature_facts import FeatureFact
from python_jobs.publication.models import in_words
from python_jobs.registry.model_card import SHOWN, interval
from python_jobs.registry.published_report import DECISION
from python_jobs.training.judging import is_baseline
from python_jobs.training.metrics import calibration_bins
from python_jobs.training.splits import HeldOut, Rows
from python_jobs.training.train import Trained

POINTS = 200
"""Most points of a drawn curve."""

STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": 9,
    "svg.fonttype": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "axes.axisbelow": True,
    "axes.edgecolor": "#888",
    "legend.frameon": False,
    "legend.fontsize": 8,
}
LINES: dict[str, dict[str, Any]] = {
    "recency": {"color": "#d9822b", "lw": 2.2},
    "frequency": {"color": "#7b5ea7", "ls": "-."},
    "rfm_logistic": {"color": "#1b7837", "ls": "--"},
    "prior_rate": {"color": "#999999", "ls": ":"},
}
CHOSEN: dict[str, Any] = {"color": "#2166ac", "lw": 2, "zorder": 3}
CSS = """
:root { color-scheme: light dark; --page: #fff; --text: #1c1c1c; --quiet: #555; --line: #e3e3e3;
  --rule: #999; --box: #f6f6f6; --chosen: #eef4fb; --bar: #2166ac; --yes: #1b7837; --no: #b2182b }
@media screen and (prefers-color-scheme: dark) {
  :root { --page: #16181b; --text: #e6e6e6; --quiet: #a5a9ae; --line: #33373c; --rule: #6b7075;
    --box: #202327; --chosen: #1d2a3a; --bar: #5b9bd5; --yes: #58b368; --no: #e5707e }
  svg { filter: invert(.88) hue-rotate(180deg) } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--text); background: var(--page);
  max-width: 1080px; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: clamp(1rem, 4.4vw, 1.5rem); margin-bottom: 0; text-wrap: balance }
h1 span { white-space: nowrap } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem }
.quiet { color: var(--quiet) } svg { width: 100%; height: auto; display: block }
.figures { display: grid; gap: 1.2rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 340px), 1fr)) }
.table { overflow-x: auto } table { border-collapse: collapse; width: 100%; font-size: 13px }
th, td { padding: .3rem .6rem; text-align: right; border-bottom: 1px solid var(--line);
  font-variant-numeric: tabular-nums }
td { white-space: nowrap }
th:first-child, td:first-child { text-align: left }
thead th { border-bottom: 2px solid var(--rule) }
.models th:nth-child(2), .models td:nth-child(2) { font-weight: 600; background: var(--chosen) }
th { vertical-align: bottom } span.quiet { font-size: 11.5px; font-weight: 400 }
.decision { border-left: 4px solid var(--rule); background: var(--box); padding: .6rem 1rem;
  margin: 1rem 0; overflow-wrap: anywhere }
.decision.yes { border-color: var(--yes) } .decision.no { border-color: var(--no) }
.decision ul { margin: .3rem 0 0; padding-left: 1.2rem }
.bar { background: var(--bar); height: .7rem; display: block; min-width: 1px }
td.wide { width: 55%; text-align: left }
@media screen and (max-width: 600px) { body { margin: 1rem auto }
  th, td { padding: .25rem .35rem } td:first-child { white-space: normal; min-width: 6rem } }
@media print { body { margin: 0; max-width: none; font-size: 11px } table { font-size: 9.5px }
  th, td { padding: .12rem .35rem } span.quiet { font-size: 8px }
  .figures { grid-template-columns: 1fr 1fr } svg, tr { break-inside: avoid }
  h2 { break-after: avoid } .table { overflow: visible }
  .bar, .decision, td { print-color-adjust: exact; -webkit-print-color-adjust: exact } }
"""


def report(manifest: dict[str, Any], trained: Trained) -> str:
    """Return the page without a decision, which published_report adds later."""
    metrics, rows, held = trained.metrics, trained.rows, trained.held
    chosen = manifest["estimator"]
    judged = f"judged on {len(metrics['folds'])} later periods"
    sections = [
        ("Ranking and calibration, eligible users", _figures(metrics, rows, held, chosen)),
        ("All models, eligible users, all folds", _models(metrics, "eligible")),
        ("All models, all users, all folds", _models(metrics, "all")),
        ("Lead over the other models", _leads(metrics, chosen)),
        ("Fold by fold, eligible users", _folds(metrics, chosen)),
        ("Expected and realised churn by date, eligible users", _levels(metrics)),
        ("What moves the scores", _importances(metrics, trained.feature_facts)),
        *((f"Slices by {name}", _slices(values)) for name, values in metrics["slices"].items()),
    ]
    body = "".join(f"<section><h2>{_text(title)}</h2>{part}</section>" for title, part in sections)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Churn model {manifest["version"]}</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>{CSS}</style></head>
<body><h1>Churn model <span>{manifest["version"]}</span></h1>
<p class="quiet">{_text(in_words(chosen))} · horizon {manifest["horizon_days"]} days · trained on
{manifest["rows"]:,} rows of eligible users, {manifest["first_as_of_date"]} to
{manifest["last_as_of_date"]} · {_text(manifest["unjudged"] or judged)}.
95 % intervals from a bootstrap over users, in brackets.</p>
{DECISION}
{body}
</body></html>
"""


def _figures(metrics: dict[str, Any], rows: Rows, held: HeldOut, chosen: str) -> str:
    who = rows.eligible[held.rows]
    y = rows.y[held.rows][who]
    if not 0 < y.sum() < len(y):
        return '<p class="quiet">There are no test rows with churners and stayers to draw yet.</p>'
    names = [chosen]
    names += [n for n, t in metrics["models"].items() if is_baseline(t) and n != chosen]
    with rc_context(STYLE):
        figures = [Figure(figsize=(5, 3.9), layout="constrained") for _ in range(4)]
        precision, roc, calibration, gain = (figure.subplots() for figure in figures)
        for name in names:
            style = CHOSEN if name == chosen else LINES[name]
            found, seen = _cumulated(y, held.risks[name][who])
            label = _words(name)
            precision.plot(found[1:] / y.sum(), found[1:] / seen[1:], label=label, **style)
            roc.plot((seen - found) / (len(y) - y.sum()), found / y.sum(), label=label, **style)
            gain.plot(seen / len(y), found / y.sum(), label=label, **style)
        _calibration(calibration, y, held.risks[chosen][who])
        _name(precision, "Precision and recall", "recall", "precision")
        _name(roc, "ROC", "stayers contacted", "churners found")
        _name(
            gain,
            "Gain; lift of the model",
            "share of users contacted, riskiest first",
            "churners found",
        )
        found, seen = _cumulated(y, held.risks[chosen][who])
        lift = gain.twinx()
        lift.plot(
            seen[1:] / len(y), (found[1:] / seen[1:]) / y.mean(), color="#2166ac", lw=1, alpha=0.5
        )
        lift.set_ylim(0)
        lift.set_ylabel("lift (thin line)", color="#2166ac")
        lift.grid(visible=False)
        for axes in (precision, roc):
            axes.legend(loc="best")
        precision.set_ylim(0, 1.02)
        drawn = "".join(_svg(figure) for figure in figures)
    return f'<div class="figures">{drawn}</div>'


def _svg(figure: Figure) -> str:
    """Return the figure as an SVG element that fills its width, with an accessible title.

    Its ids are unique on the page.
    """
    title, buffer = figure.axes[0].get_title(loc="left"), io.StringIO()
    with rc_context({"svg.hashsalt": title}):  # ids differ between figures, not between runs
        figure.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    used = set(re.findall(r'(?:url\(#|href="#)([^")]+)', svg))
    svg = re.sub(r' id="([^"]+)"', lambda m: m[0] if m[1] in used else "", svg)
    for attribute in ("width", "height"):
        svg = re.sub(rf'(<svg[^>]*?) {attribute}="[^"]*"', r"\1", svg, count=1)
    label = f"{title}, of the model and its baselines" if title != "Calibration" else title
    return svg.replace("<svg", f'<svg role="img" aria-label="{_text(label)}"', 1)


def _cumulated(y: np.ndarray, risk: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return churners and users above each of up to POINTS cuts, from 0 on; ties stay together."""
    order = np.argsort(-risk, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(risk[order]) != 0, True))
    ends = ends[np.unique(np.linspace(0, len(ends) - 1, min(len(ends), POINTS)).astype(int))]
    return np.append(0, np.cumsum(y[order])[ends]), np.append(0, ends + 1.0)


def _calibration(axes: Axes, y: np.ndarray, risk: np.ndarray) -> None:
    """Draw mean risk against churn rate in ten quantile bins, with Wilson 95 % intervals."""
    bins = calibration_bins(risk)
    used = np.unique(bins)
    n = np.array([(bins == b).sum() for b in used])
    mean, rate = (np.array([v[bins == b].mean() for b in used]) for v in (risk, y))
    z = 1.96
    centre = (rate + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(rate * (1 - rate) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    top = max(float(mean.max()), float((centre + half).max())) * 1.05
    axes.plot([0, top], [0, top], color="#999", ls=":", label="perfect")
    bars = np.clip([rate - (centre - half), centre + half - rate], 0, None)
    axes.errorbar(mean, rate, bars, fmt="o", color="#2166ac", ms=4, lw=1, label="tenths of users")
    axes.legend(loc="upper left")
    _name(axes, "Calibration", "mean churn risk", "churn rate")


def _name(axes: Axes, title: str, x: str, y: str) -> None:
    axes.set_title(title, fontweight="bold", loc="left")
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.set_xlim(0)


def _models(metrics: dict[str, Any], population: str) -> str:
    """Return the table of metrics: a line per metric, a column per model, the chosen one first."""
    names = [metrics["selected"], *(n for n in metrics["models"] if n != metrics["selected"])]
    measures = {n: metrics["models"][n]["folds"]["pooled"][population] for n in names}
    lines = [
        [words, *(_brackets(measures[name][metric]) for name in names)]
        for metric, words in SHOWN.items()
    ]
    ours = measures[metrics["selected"]]
    note = f"{ours['rows']:,} rows, {ours['base_rate'] or 0:.1%} churned.{_cost_note(metrics)}"
    head = ["", *(name.replace("_", " ") for name in names)]
    return f'<p class="quiet">{note}</p>' + _table(head, lines, "models")


def _cost_note(metrics: dict[str, Any]) -> str:
    if not (costs := metrics["costs"]):
        return ""
    return (
        f" Expected value: an offer costs {costs['offer_cost']:g}, saves "
        f"{costs['save_rate']:.0%} of the churners it reaches, and who stays is worth "
        f"{costs['user_value']:g}; it pays from a risk of {costs['threshold']:.0%}."
    )


def _leads(metrics: dict[str, Any], chosen: str) -> str:
    over = metrics["models"][chosen]["over"]
    lines = [
        [_words(name), _brackets(o["average_precision_by_date"]), _brackets(o["roc_auc_by_date"])]
        for name, o in over.items()
    ]
    note = "Differences on the same users; an interval above zero is a lead beyond chance."
    head = ["the model's lead over", SHOWN["average_precision_by_date"], SHOWN["roc_auc_by_date"]]
    return f'<p class="quiet">{note}</p>' + _table(head, lines)


def _folds(metrics: dict[str, Any], chosen: str) -> str:
    shown = [
        *("average_precision_by_date", "roc_auc_by_date"),
        *("expected_calibration_error", "precision_at_top_k"),
    ]
    head = ["fold", "trained through", "tested", "rows", *(SHOWN[name] for name in shown)]
    lines = []
    for fold in metrics["folds"]:
        measures = metrics["models"][chosen]["folds"][fold["fold"]]["eligible"]
        begin, end = fold["test_from"], fold["test_to"]
        tested = begin if begin == end else f"{begin} to {end}"
        cells = [_brackets(measures[name]) for name in shown]
        lines.append([fold["fold"], fold["train_to"], tested, f"{measures['rows']:,}", *cells])
    return _table(head, lines)


def _levels(metrics: dict[str, Any]) -> str:
    lines = []
    for day in metrics["levels"]:
        risk, rate = day["mean_risk"], day["base_rate"]
        shares = f"{risk:.1%}", f"{rate:.1%}", f"{risk - rate:+.1%}"
        lines.append([day["as_of_date"], day["fold"], f"{day['rows']:,}", *shares])
    return _table(["date", "fold", "rows", "expected", "realised", "difference"], lines)


def _importances(metrics: dict[str, Any], facts: dict[str, FeatureFact]) -> str:
    strongest = sorted(metrics["importances"].items(), key=lambda item: -item[1])[:15]
    top = strongest[0][1] or 1.0
    lines = "".join(
        f'<tr><td>{_text(facts[name].label)}</td><td>{value:.2f}</td><td class="wide">'
        f'<span class="bar" style="width:{100 * value / top:.1f}%"></span></td></tr>'
        for name, value in strongest
    )
    note = "Mean absolute contribution to the log-odds, over eligible users; the 15 strongest."
    table = f'<div class="table"><table><tbody>{lines}</tbody></table></div>'
    return f'<p class="quiet">{note}</p>{table}'


def _slices(values: dict[str, Any]) -> str:
    shown = ("average_precision", "roc_auc", "expected_calibration_error")
    head = ["value", "rows", "churned", "mean risk", *(SHOWN[name] for name in shown)]
    lines = [
        [_text(value), f"{s['rows']:,}", f"{s['base_rate']:.1%}", f"{s['mean_risk']:.1%}"]
        + ["-" if s[name] is None else f"{s[name]:.3f}" for name in shown]
        for value, s in values.items()
    ]
    return _table(head, lines)


def _table(head: list[str], lines: list[list[str]], kind: str = "") -> str:
    top = "".join(f"<th>{_text(cell)}</th>" for cell in head)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in line)}</tr>" for line in lines)
    table = f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="table {kind}">{table}</div>'


def _brackets(measure: dict[str, Any]) -> str:
    value, _, bounds = interval(measure).partition(" ")
    return value + (f'<br><span class="quiet">{bounds}</span>' if bounds else "")


def _words(name: str) -> str:
    return _text(name.replace("_", " "))


def _text(words: str) -> str:
    return html.escape(str(words))
