"""Compare the newest model with the baselines on held-out rows, and with the oracle if synthetic.

    .venv/bin/python bench/quality.py --home data

The oracle knows the generator's hidden truth, so no model can beat it. The model's share of what is
possible is (AUC - 0.5) / (AUC of the oracle - 0.5).
"""

import argparse
from pathlib import Path

import duckdb
from rich.console import Console
from rich.table import Table

from python_jobs.ingest import persons
from python_jobs.registry import store
from python_jobs.registry.model_card import SHOWN, interval
from python_jobs.training.metrics import average_precision, roc_auc

ORACLE = """
select held.churn_label, held.is_eligible, held."{model}" as risk, truth.churn_probability
from read_parquet($held) as held
inner join read_parquet($truth) as truth
    on held.person_hash = person_hash(truth.user_id) and held.as_of_date = truth.as_of_date
"""


def main() -> None:
    """Print metrics of both populations, leads over the baselines, and the oracle's share."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--home", type=Path, default=Path("data"))
    home = parser.parse_args().home
    version = store.versions(home / "models")[-1]
    metrics = store.read_json(home / "models", version, "metrics.json")
    chosen, models = metrics["selected"], metrics["models"]
    console = Console(width=180)
    for population in ("eligible", "all"):
        table = Table(title=f"{version}, {population} users, folds pooled; chosen: {chosen}")
        table.add_column("metric")
        for name in models:
            table.add_column(name, justify="right")
        for metric, words in SHOWN.items():
            found = (m["folds"]["pooled"][population][metric] for m in models.values())
            table.add_row(words, *(interval(measure) for measure in found))
        console.print(table)
    for name, over in models[chosen]["over"].items():
        leads = ", ".join(f"{SHOWN[m]} {interval(lead, 4)}" for m, lead in over.items())
        console.print(f"lead over {name}: {leads}")
    if (home / "truth/churn_probability").exists():
        for who, said in beside_the_oracle(home).items():
            console.print(f"{who}: {said}")


def beside_the_oracle(home: Path) -> dict[str, str]:
    """Return in words, by population, how near the newest model comes to the oracle."""
    version = store.versions(home / "models")[-1]
    chosen = store.read_json(home / "models", version, "metrics.json")["selected"]
    held = home / "models" / version / "held_out.parquet"
    truth = home / "truth/churn_probability/*.parquet"
    query = ORACLE.format(model=chosen)
    with duckdb.connect() as reader:
        persons.define(reader, home)
        rows = reader.execute(query, {"held": str(held), "truth": str(truth)}).df()
    found = {}
    for who, part in (("eligible", rows[rows.is_eligible]), ("all", rows)):
        y = part.churn_label.to_numpy()
        ours, best = (roc_auc(y, part[c].to_numpy()) for c in ("risk", "churn_probability"))
        precise = average_precision(y, part.churn_probability.to_numpy())
        found[who] = (
            f"the oracle has ROC AUC {best:.4f} and average precision {precise:.4f}; "
            f"the model reaches {(ours - 0.5) / (best - 0.5):.1%} of its lead over chance"
        )
    return found


if __name__ == "__main__":
    main()
