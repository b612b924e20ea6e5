"""Check the worth of a user against BG/NBD with Gamma-Gamma, on a shop's real invoices.

    .venv/bin/python bench/value.py --invoices FOLDER/online_retail.parquet

For each cut, what buyers of the last 90 days spend in the next 30 is expected in two ways: by the
user's own pace, as models/predictions/user_values.sql has it, and by Gamma-Gamma (Fader and Hardie
2013) times the rate of purchases. Both count users as far as BG/NBD (Fader, Hardie and Lee 2005)
thinks that they are still there, so only the worth differs.
"""

import argparse
from datetime import date, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table
from scipy.optimize import minimize
from scipy.special import gammaln
from scipy.stats import spearmanr

from logs import fit_bg_nbd

HORIZON, RECENT = 30, 90
CUTS = tuple(date(2011, month, 1) for month in range(5, 12))
BUYERS = """
    with days as (
        select CustomerID as user_id, InvoiceDate::date as day, sum(Quantity * UnitPrice) as spend
        from read_parquet($invoices)
        where CustomerID is not null and Quantity > 0 and UnitPrice > 0
        group by all
    )
    select
        user_id,
        count(*) filter (day < $cut) - 1 as repeats,
        date_diff('day', min(day), max(day) filter (day < $cut)) as recency,
        date_diff('day', min(day), $cut) as age,
        coalesce(avg(spend) filter (day < $cut and day > first_day), 0) as mean_spend,
        coalesce(sum(spend) filter (day < $cut and day >= $cut - $recent), 0) as recent_spend,
        coalesce(sum(spend) filter (day >= $cut and day < $cut + $horizon), 0) as spent
    from (select *, min(day) over (partition by user_id) as first_day from days)
    group by user_id
    having max(day) filter (day < $cut) >= $cut - $recent
    order by user_id
"""


def gamma_gamma(repeats: np.ndarray, mean_spend: np.ndarray) -> np.ndarray:
    """Return the expected spend of a purchase for each user.

    `mean_spend`: of the purchases after the first, `repeats` many. A user without any has the mean
    of all.
    """
    x, m = repeats[repeats > 0], mean_spend[repeats > 0]

    def loss(logs: np.ndarray) -> float:
        p, q, v = np.exp(logs)
        terms = gammaln(p * x + q) - gammaln(p * x) - gammaln(q) + q * np.log(v)
        terms += (p * x - 1) * np.log(m) + p * x * np.log(x) - (p * x + q) * np.log(v + m * x)
        return float(-terms.mean())

    start = np.log([1.0, 3.0, float(m.mean())])
    p, q, v = np.exp(minimize(loss, start, method="Nelder-Mead", options={"maxiter": 5000}).x)
    return np.asarray(p * (v + mean_spend * repeats) / (p * repeats + q - 1))


def pace(users: pd.DataFrame) -> np.ndarray:
    """Return the worth of one horizon by the user's own pace."""
    days = users["age"].clip(HORIZON, RECENT)
    return (users["recent_spend"] / days * HORIZON).to_numpy(float)


def main() -> None:
    """Print totals, errors and rank correlations for each cut."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--invoices", type=Path, required=True)
    invoices = str(parser.parse_args().invoices)
    table = Table(title=f"spend of the next {HORIZON} days")
    for name in ("cut", "buyers", "spent", "expected, pace", "Gamma-Gamma"):
        table.add_column(name, justify="right")
    for name in ("error, pace", "Gamma-Gamma", "ranks, pace", "Gamma-Gamma"):
        table.add_column(name, justify="right")
    with duckdb.connect() as connection:
        for cut in CUTS:
            asked = {"invoices": invoices, "cut": cut, "recent": RECENT, "horizon": HORIZON}
            users = connection.execute(BUYERS, asked).df()
            spent = users["spent"].to_numpy(float)
            x, t, T = (users[name].to_numpy(float) for name in ("repeats", "recency", "age"))
            (r, alpha, _, _), is_there = fit_bg_nbd(x, t, T)
            worth = gamma_gamma(x, users["mean_spend"].to_numpy(float))
            rate = (r + x) / (alpha + T) * HORIZON
            found = pace(users) * is_there, worth * rate * is_there
            table.add_row(
                str(cut - timedelta(days=1)),
                f"{len(users):,}",
                f"{spent.sum():,.0f}",
                *(f"{one.sum():,.0f}" for one in found),
                *(f"{np.abs(one - spent).mean():,.0f}" for one in found),
                *(f"{spearmanr(one, spent).statistic:.3f}" for one in found),
            )
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
