"""Makes a published version with any number of users from a real one.

It uses the product's own writer. Every user is a copy of a real user under a new id, so scores,
features and model still agree and the API accepts the version.
"""

import hashlib
import json
import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from python_jobs.publication import lookup_store
from python_jobs.publishing import lookup
from python_jobs.publishing.publish import point

BATCH = 20_000


def write(source: Path, published: Path, users: int) -> Path:
    """Write published/<version>/ from a real version, make it current, return its folder."""
    version = f"bench-{users}"
    folder = published / version
    folder.mkdir(parents=True)
    for path in source.iterdir():
        if path.suffix in (".onnx", ".json", ".html") and path.name != "manifest.json":
            shutil.copyfile(path, folder / path.name)
    with closing(sqlite3.connect(source / "lookup.sqlite")) as real:
        kinds = dict(real.execute("select name, type from pragma_table_info('users')").fetchall())
        rows = real.execute("select * from users order by risk_rank").fetchall()
    manifest = json.loads((source / "manifest.json").read_text(encoding="utf-8"))
    with lookup.new_store(folder / "lookup.sqlite", manifest["attributes"]) as store:
        batches = _copies(rows, list(kinds), users)
        lookup.write_table(store, "users", "user_id", kinds, batches)
    manifest["version"] = version
    manifest["files"] = {path.name: {"sha256": _sha256(path)} for path in folder.iterdir()}
    with closing(sqlite3.connect(folder / "lookup.sqlite")) as store:
        ids = lookup_store.ids_sha256(store.execute("select user_id from users order by user_id"))
    manifest["files"]["lookup.sqlite"] |= {"rows": {"users": users}, "ids_sha256": ids}
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    point(published, version)
    return folder


def user_id(number: int) -> str:
    """Return the id of the n-th user of a store written here."""
    return f"u{number:07d}"


def _copies(rows: list[tuple], names: list[str], users: int):
    """Return copies of the real users in order of id, ranked by risk."""
    at_id, at_rank = names.index("user_id"), names.index("risk_rank")
    risk = names.index("churn_risk")
    chosen = random.Random(7).choices(range(len(rows)), k=users)
    order = sorted(range(users), key=lambda n: -rows[chosen[n]][risk])
    ranks = [0] * users
    for rank, number in enumerate(order, 1):
        ranks[number] = rank
    for start in range(0, users, BATCH):
        batch = []
        for number in range(start, min(start + BATCH, users)):
            row = list(rows[chosen[number]])
            row[at_id], row[at_rank] = user_id(number), ranks[number]
            batch.append(tuple(row))
        yield batch


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
