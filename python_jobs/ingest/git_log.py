"""Export the commits of a git clone as raw files: one CSV for each head with new commits.

Authors are written as a hash of their e-mail address. No address, name, subject or path is
written.
"""

import csv
import gzip
import hashlib
import io
import os
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from python_jobs.errors import JobError

# Kinds of changed files, by path. The first match counts; every other file is code.
KINDS = {
    "test": rb"(^|/)(tests?|specs?|__tests__)/|(^|/)test_[^/]*$|[._-](test|spec)\.[^/.]*$",
    "docs": rb"(^|/)docs?/|\.(md|markdown|rst|adoc|tex)$"
    rb"|(^|/)(readme|changelog|changes|news|license|copying|authors|contributing)[^/]*$",
    "config": rb"(^|/)\.[^/]|\.(ya?ml|toml|ini|cfg|conf|json|lock|properties)$"
    rb"|(^|/)(makefile|dockerfile|requirements)[^/]*$|(^|/)cmakelists\.txt$",
    "code": rb"",
}
Progress = Callable[[int, int], None]

PATTERNS = {kind: re.compile(pattern, re.IGNORECASE) for kind, pattern in KINDS.items()}
COLUMNS = (
    *("commit_id", "author", "is_bot", "committed_at", "parents", "lines_added", "lines_deleted"),
    *(f"{kind}_files" for kind in KINDS),
)
HEAD = re.compile(r"([0-9a-f]{40}|[0-9a-f]{64})\.csv\.gz")

# NUL ends each field, since a field may hold any text. The other options override what the user's
# own git configuration would change in the numbers.
LOG = (
    *("-c", "log.showRoot=true", "log", "-z", "--numstat", "--format=commit %H %ct %P%x09%aE"),
    *("--find-renames", "--diff-algorithm=default", "--encoding=UTF-8", "--no-show-signature"),
)


def export(clone: Path, folder: Path, *, progress: Progress | None = None) -> Path:
    """Write the commits of HEAD that `folder` does not hold yet to `<head>.csv.gz`, if any.

    Returns `folder`, from which to ingest. The file appears whole or not at all. The heads in the
    file names say which commits were exported before. So several clones may share a folder, and
    rewritten history counts as new commits.
    """
    head = _head(clone)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        matches = [HEAD.fullmatch(path.name) for path in sorted(folder.iterdir())]
        earlier = [match[1] for match in matches if match]
        wanted = ("--ignore-missing", head, "--not", *earlier, "--")
        if total := int(_check(clone, _git(clone, "rev-list", "--count", *wanted))):
            commits = _commits(_fields(clone, *LOG, *wanted))
            _write(folder / f"{head}.csv.gz", commits, total, progress)
    except OSError as error:
        raise JobError(
            f"{folder} cannot be written ({error.strerror}).",
            next_step="make room, or make the folder writable, and run again.",
        ) from None
    return folder


def _head(clone: Path) -> str:
    """Return the checked-out commit. Raises JobError if the clone's history is incomplete."""
    if not clone.is_dir():
        raise JobError(
            f"The folder {clone} does not exist.", next_step="name a git clone with --raw."
        )
    shallow = _git(clone, "rev-parse", "--is-shallow-repository")
    if b"not a git repository" in shallow.stderr:
        raise JobError(
            f"{clone} is not a git clone.",
            next_step="name the folder that holds .git (or a bare clone) with --raw.",
        )
    if _check(clone, shallow) == b"true":
        raise JobError(
            f"{clone} is a shallow clone: its older commits are missing.",
            next_step=f"fetch them with `git -C {clone} fetch --unshallow` and run again.",
        )
    head = _git(clone, "rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    if head.returncode:
        raise JobError(
            f"{clone} has no commits on its current branch.",
            next_step="check out a branch that has some, or name another clone with --raw.",
        )
    return head.stdout.decode().strip()


def _commits(fields: Iterator[bytes]) -> Iterator[dict[str, Any]]:
    """Yield one row per commit, from the fields of `git log -z --numstat`."""
    commit: dict[str, Any] = {}
    for field in fields:
        if field.startswith(b"commit "):
            if commit:
                yield commit
            commit = _commit(field)
            continue
        added, deleted, path = field.lstrip(b"\n").split(b"\t", 2)
        if not path:  # renamed: the old and the new path follow as separate fields
            _, path = next(fields, b""), next(fields, b"")
        kind = next(kind for kind, pattern in PATTERNS.items() if pattern.search(path))
        commit[f"{kind}_files"] += 1
        commit["lines_added"] += int(added) if added != b"-" else 0  # "-" is a binary file
        commit["lines_deleted"] += int(deleted) if deleted != b"-" else 0
    if commit:
        yield commit


def _commit(field: bytes) -> dict[str, Any]:
    facts, raw_address = field.split(b"\t", 1)
    _, commit_id, seconds, parents = facts.decode().split(" ", 3)
    address = raw_address.decode("utf-8", errors="replace").strip().lower()
    return dict.fromkeys(COLUMNS, 0) | {
        "commit_id": commit_id,
        "author": hashlib.sha256(address.encode()).hexdigest() if address else "",
        "is_bot": "[bot]" in address,
        "committed_at": _utc(seconds),
        "parents": len(parents.split()),
    }


def _utc(seconds: str) -> str:
    """Return seconds since 1970 as UTC text. Invalid values stay as they are, to be rejected."""
    try:
        return f"{datetime.fromtimestamp(int(seconds), UTC):%Y-%m-%d %H:%M:%S}"
    except (ValueError, OverflowError, OSError):
        return seconds


def _write(
    path: Path, commits: Iterator[dict[str, Any]], total: int, progress: Progress | None
) -> None:
    partial = path.with_name("commits.partial")
    with partial.open("wb") as file:
        # no name and no time in the gzip header: the same commits give the same bytes
        with (
            gzip.GzipFile("", "wb", 6, file, mtime=0) as packed,
            io.TextIOWrapper(packed, encoding="ascii", newline="") as text,
        ):
            writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
            writer.writeheader()
            for done, commit in enumerate(commits, start=1):
                writer.writerow(commit)
                if progress and (done % 100 == 0 or done == total):
                    progress(done, total)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def _fields(clone: Path, *arguments: str) -> Iterator[bytes]:
    """Yield git's output as it arrives, split at each NUL. Raises JobError if git fails."""
    command = ["git", "-C", str(clone), *arguments]
    with tempfile.TemporaryFile() as said:
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=said, env=_environment(clone)
        ) as git:
            rest = b""
            while git.stdout and (chunk := git.stdout.read(1 << 16)):
                *whole, rest = (rest + chunk).split(b"\0")
                yield from whole
        said.seek(0)
        _check(clone, subprocess.CompletedProcess(command, git.returncode, b"", said.read()))


def _git(clone: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(
            ["git", "-C", str(clone), *arguments], capture_output=True, env=_environment(clone)
        )
    except FileNotFoundError:
        raise JobError(
            "git is not installed, or not on the PATH.", next_step="install git and run again."
        ) from None


def _check(clone: Path, done: subprocess.CompletedProcess[bytes]) -> bytes:
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["it did not say why"]
        raise JobError(
            f"git cannot read {clone}: {said[0].removeprefix('fatal: ').rstrip('.')}.",
            next_step=f"see what `git -C {clone} fsck` says.",
        )
    return done.stdout.strip()


def _environment(clone: Path) -> dict[str, str]:
    """Return this process's environment without variables that would point git elsewhere.

    It also keeps git from fetching missing objects.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("GIT_") or name.startswith("GIT_CONFIG_")
    }
    ceiling = str(clone.resolve().parent)  # a folder inside a clone is not a clone
    return kept | {"LC_ALL": "C", "GIT_CEILING_DIRECTORIES": ceiling, "GIT_NO_LAZY_FETCH": "1"}
