"""Event logs such as a stranger has: visits, written as German CSV or as JSON lines."""

import csv
import json
import random
from datetime import datetime, timedelta
from pathlib import Path

DAYS = 200
FIRST = datetime(2026, 3, 1)  # noqa: DTZ001 - the file names no zone


def visits(seed: int = 3, users: int = 60) -> list[tuple]:
    """Return visits of users of whom some stop: id, customer, when, what, seconds."""
    chance = random.Random(seed)
    rows = []
    for user in range(users):
        rate = chance.choice([0.5, 0.3, 0.15])
        last = chance.choice([DAYS, DAYS, chance.randrange(30, DAYS)])
        for day in range(chance.randrange(20), last):
            if chance.random() < rate:
                moment = FIRST + timedelta(days=day, minutes=chance.randrange(1440))
                kind = chance.choice(["watched", "watched", "signed in", "refund"])
                rows.append(
                    (f"x{len(rows)}", f"c{user:03}", moment, kind, chance.randrange(900) / 10)
                )
    return rows


def german_csv(path: Path, rows: list[tuple]) -> None:
    with path.open("w", newline="", encoding="cp1252") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(["id", "customer", "when", "what", "seconds", "note"])
        for number, who, when, what, seconds in rows:
            amount = str(seconds).replace(".", ",")
            writer.writerow([number, who, f"{when:%d.%m.%Y %H:%M}", what, amount, "grün"])


def json_lines(path: Path, rows: list[tuple]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for number, who, when, what, seconds in rows:
            row = {"id": number, "customer": who, "ts": int(when.timestamp()), "what": what}
            file.write(json.dumps(row | {"seconds": seconds}) + "\n")
