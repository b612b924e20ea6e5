"""The model card: a version's intended use, data, quality and limits.

After Mitchell et al. 2019, "Model cards for model reporting".
"""

from typing import Any

from python_jobs.publication.models import in_words

SHOWN = {
    "average_precision_by_date": "average precision within dates",
    "roc_auc_by_date": "ROC AUC within dates",
    "average_precision": "average precision, dates pooled",
    "roc_auc": "ROC AUC, dates pooled",
    "log_loss": "log loss",
    "brier": "Brier score",
    "expected_calibration_error": "calibration error",
    "precision_at_50": "precision of the day's top 50",
    "precision_at_top_k": "precision of the day's top k",
    "precision_top_decile": "precision in the top decile",
    "lift_top_decile": "lift in the top decile",
    "expected_value": "expected value per user",
}


def interval(measure: dict[str, Any], digits: int = 3) -> str:
    """Return '0.812 (0.790 to 0.831)', without bounds if there are none; '-' without a value."""
    if measure["value"] is None:
        return "-"
    value = f"{measure['value']:z.{digits}f}"
    if measure["low"] is None:
        return value
    return f"{value} ({measure['low']:z.{digits}f} to {measure['high']:z.{digits}f})"


def _attributes(values: dict[str, list[str]]) -> str:
    """Return the attributes that the model knows, with their values, in words."""
    known = [f"{name} ({', '.join(values[name])})" for name in values]
    return f"{'; '.join(known)}; any other value counts as other" if known else "none"


def model_card(manifest: dict[str, Any], metrics: dict[str, Any]) -> str:
    """Return the card as Markdown."""
    chosen, horizon = manifest["estimator"], manifest["horizon_days"]
    folds = metrics["folds"]
    pooled = metrics["models"][chosen]["folds"]["pooled"]
    calibration = manifest["calibration"]
    lines = [
        f"# Model card: {manifest['version']}",
        "",
        f"Gives each user the probability of no activity in the {horizon} days after as_of_date.",
        "",
        "## Intended use",
        "",
        "Ranking users for retention offers, and saying why. Not for decisions about a person's "
        "rights, price or access, and not for users outside the population below.",
        "",
        "## Population and data",
        "",
        f"- {'Trained' if manifest['unjudged'] else 'Trained and judged'} on eligible users, "
        f"{manifest['rows']:,} rows of which {manifest['positives']:,} churned, sampled from "
        f"{manifest['first_as_of_date']} to {manifest['last_as_of_date']}; "
        f"data from {manifest['data_from']} to {manifest['data_through']}.",
        f"- Model: {in_words(chosen)}, parameters {manifest['parameters']}, seed "
        f"{manifest['seed']}.",
        f"- Attributes among the inputs: {_attributes(manifest['attributes'])}.",
        f"- Data hash {manifest['data_hash'][:16]}, code {manifest['git_commit'] or 'unknown'}.",
        "",
        "## How it did on dates it had not seen",
        "",
        f"This version is {manifest['unjudged']}."
        if manifest["unjudged"]
        else f"{len(folds)} test periods from {folds[0]['test_from']} to {folds[-1]['test_to']}, "
        "each a horizon after its last training date. Order is judged within each date and "
        "averaged over dates. 95 % intervals from a bootstrap over users.",
        "",
        "| metric | eligible users | all users |",
        "|---|---|---|",
        *(
            f"| {words} | {interval(pooled['eligible'][name])} | {interval(pooled['all'][name])} |"
            for name, words in SHOWN.items()
        ),
        f"| rows | {pooled['eligible']['rows']:,} | {pooled['all']['rows']:,} |",
        "",
        "| average precision within dates, less that of | difference on eligible users |",
        "|---|---|",
        *(
            f"| {name.replace('_', ' ')} | {interval(over['average_precision_by_date'])} |"
            for name, over in metrics["models"][chosen]["over"].items()
        ),
        "",
        "## Calibration",
        "",
        "None beyond the rule's own logistic regression."
        if calibration["method"] == "none"
        else f"Sigmoid on the log-odds, fitted on {calibration['rows']:,} rows that the calibrated "
        f"models had not seen ({calibration['checked_on']}).",
        "",
        "## Slices",
        "",
        "| attribute | value | rows | churned | mean risk | ROC AUC |",
        "|---|---|---|---|---|---|",
        *(
            f"| {attribute} | {value} | {s['rows']:,} | {s['base_rate']:.1%} | "
            f"{s['mean_risk']:.1%} | "
            + ("-" if s["roc_auc"] is None else f"{s['roc_auc']:.3f}")
            + " |"
            for attribute, values in metrics["slices"].items()
            for value, s in values.items()
        ),
        "",
        "## Limits",
        "",
        "- Users who are not eligible are scored too, but the model never learned from such users.",
        "- A correlation is no cause: a reason says what moved the score, not what would keep the "
        "user.",
        "- A fold has one to a few dates; a season or a price change that the data do not hold is "
        "unknown to the model.",
        "",
    ]
    return "\n".join(lines)
