"""The registry: immutable version folders, and the pointer that says which one is in production.

The folders are the truth. ml.model_versions and ml.fold_metrics mirror them for SQL.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np

from python_jobs.errors import JobError
from python_jobs.settings import PROJECT

if TYPE_CHECKING:
    import pandas as pd

NUMERIC = re.compile(r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|FLOAT|DOUBLE|DECIMAL\(.*\)")
VERSION = re.compile(r"\d{4}-\d{2}-\d{2}T\d{6}Z-[0-9a-f]{8}")
CHUNK_VECTORS = 16
"""DuckDB vectors (2,048 rows each) in a chunk: 32,768 rows."""


@dataclass(frozen=True)
class Features:
    """A model's input: column names in order, and their SQL types."""

    names: list[str]
    types: list[str]

    @classmethod
    def of_table(cls, con: duckdb.DuckDBPyConnection, table: str) -> "Features":
        """The numeric columns of a table except churn_label, in table order."""
        columns = con.execute(f"describe {table}").fetchall()
        numeric = [
            (c[0], c[1]) for c in columns if NUMERIC.fullmatch(c[1]) and c[0] != "churn_label"
        ]
        return cls([name for name, _ in numeric], [kind for _, kind in numeric])

    @staticmethod
    def texts(con: duckdb.DuckDBPyConnection, table: str) -> list[str]:
        """The attributes of a table: its text columns except user_id. Slices, not features."""
        columns = con.execute(f"describe {table}").fetchall()
        return [c[0] for c in columns if c[1] == "VARCHAR" and c[0] != "user_id"]

    @property
    def fingerprint(self) -> str:
        """sha256 over names and types, in order."""
        return hashlib.sha256(json.dumps([self.names, self.types]).encode()).hexdigest()

    def differences(self, table: "Features") -> list[str]:
        """How a table's features differ from these in name or type; their order may differ."""
        ours, theirs = (dict(zip(f.names, f.types, strict=True)) for f in (self, table))
        return [
            f"{name} is {theirs.get(name, 'missing')}, the model has {ours.get(name, 'no such')}"
            for name in ours | theirs
            if ours.get(name) != theirs.get(name)
        ]

    def chunks(
        self, con: duckdb.DuckDBPyConnection, others: list[str], rest: str, *parameters: Any
    ) -> Iterator[tuple["pd.DataFrame", np.ndarray]]:
        """Yield (DataFrame of the columns `others`, float32 matrix) of the same rows, by chunks.

        Training, promotion and scoring read features through this alone: in this order, as
        float32, NaN for NULL. `rest` is the SQL from FROM on, in which the table with the
        features is called f. There is always a first chunk, which may be empty.
        """
        quoted = [name.replace('"', '""') for name in self.names]
        matrix = [f'cast(f."{name}" as float)' for name in quoted]
        result = con.execute(f"select {', '.join(others + matrix)} {rest}", parameters)
        first = True
        while len(chunk := result.fetch_df_chunk(CHUNK_VECTORS)) or first:
            first = False
            yield chunk.iloc[:, : len(others)], chunk.iloc[:, len(others) :].to_numpy(np.float32)


@dataclass(frozen=True)
class Production:
    """The content of production.json."""

    version: str
    promoted_at: str
    previous: str | None


def utc(moment: datetime) -> datetime:
    """An aware moment as the naive UTC time, in whole seconds, that the warehouse stores."""
    if moment.tzinfo is None:
        raise ValueError("a time without a zone")
    return moment.astimezone(UTC).replace(tzinfo=None, microsecond=0)


def version_name(now: datetime, data_hash: str) -> str:
    """Name of a version: sorts by time, and depends on nothing but time and data."""
    return f"{utc(now):%Y-%m-%dT%H%M%SZ}-{data_hash[:8]}"


def versions(models: Path) -> list[str]:
    """Complete versions, oldest first. What a crash left behind does not count."""
    found = models.iterdir() if models.is_dir() else ()
    return sorted(
        p.name for p in found if VERSION.fullmatch(p.name) and (p / "manifest.json").exists()
    )


@contextlib.contextmanager
def new_version(models: Path, version: str, manifest: dict) -> Iterator[Path]:
    """Give a folder to fill; on leaving, hash and seal it, and rename it to its version.

    Until the rename there is no such version. A version of that name that exists already is left
    as it is if its model is the same; else JobError.
    """
    models.mkdir(parents=True, exist_ok=True)
    for leak in models.glob(".writing-*"):
        shutil.rmtree(leak)
    folder = models / f".writing-{version}"
    folder.mkdir()
    try:
        yield folder
        files = {path.name: _sha256(path) for path in sorted(folder.iterdir())}
        write_json(folder / "manifest.json", manifest | {"files": files})
        for path in [*folder.iterdir(), folder]:
            _fsync(path)
        if version in versions(models):
            if read_manifest(models, version)["files"]["model.onnx"] != files["model.onnx"]:
                raise JobError(
                    f"{models / version} exists and holds another model.",
                    next_step="train again in a second.",
                )
        else:
            folder.rename(models / version)
            _fsync(models)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def read_manifest(models: Path, version: str) -> dict:
    """The manifest of a complete version; JobError if there is none."""
    if version not in versions(models):
        raise JobError(
            f"There is no model version {version} in {models}.",
            next_step="see `churnhouse models`, or run `churnhouse train`.",
        )
    return json.loads((models / version / "manifest.json").read_bytes())


def read_json(models: Path, version: str, name: str) -> dict:
    """Content of a version's JSON file, once verified."""
    return json.loads(verified(models, version, name).read_bytes())


def read_features(models: Path, version: str) -> Features:
    """The features of a version."""
    saved = read_json(models, version, "features.json")
    return Features(saved["names"], saved["types"])


def load_joblib(models: Path, version: str) -> Any:
    """The scikit-learn model of a version, unpickled only if its hash is the registered one."""
    import joblib

    return joblib.load(verified(models, version, "model.joblib"))


def verified(models: Path, version: str, name: str) -> Path:
    """Path of a version's file whose content is what was registered; else JobError names it."""
    path = models / version / name
    expected = read_manifest(models, version)["files"].get(name)
    if not path.is_file() or _sha256(path) != expected:
        raise JobError(
            f"{path} is missing or is not the file that was registered.",
            next_step="restore it from a backup, or promote another version.",
        )
    return path


def production(models: Path) -> Production | None:
    """Which version is in production; None before the first promotion."""
    path = models / "production.json"
    return Production(**json.loads(path.read_bytes())) if path.exists() else None


def swap_production(
    models: Path, expected: Production | None, version: str, now: datetime
) -> Production:
    """Point production to a version, if it still points to where `expected` says; else JobError."""
    new = Production(version, f"{utc(now).isoformat()}Z", expected and expected.version)
    lock = os.open(models / "production.lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if production(models) != expected:
            raise JobError(
                "Another promotion was faster; production was left as that one set it.",
                next_step="look at `churnhouse models`, then promote again if still wanted.",
            )
        temporary = models / "production.json.new"
        write_json(temporary, asdict(new))
        _fsync(temporary)
        temporary.replace(models / "production.json")
        _fsync(models)
    finally:
        os.close(lock)
    return new


def write_json(path: Path, content: Any) -> None:
    """Write strict JSON: readable, keys in their given order, NaN refused."""
    path.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")


def git_commit() -> str | None:
    """The commit of the code that runs, of the image or the repository; None without either."""
    if stamped := os.environ.get("CHURNHOUSE_COMMIT"):
        return stamped
    command = ["git", "-C", str(PROJECT), "rev-parse", "HEAD"]
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        return subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip()
    return None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
