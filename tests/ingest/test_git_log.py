"""git_log: exports every commit once, whatever it contains, and no address."""

import csv
import gzip
import hashlib
import os
import shutil
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from python_jobs.errors import JobError
from python_jobs.ingest import domain, git_log
from python_jobs.ingest.load import ingest
from python_jobs.settings import Settings

NOON = 1_700_049_600  # 2023-11-15 12:00:00 UTC
NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)


class Repository:
    """A small repository made by the test; commits are an hour apart."""

    def __init__(self, path: Path, *init: str) -> None:
        self.path = path
        self.seconds = NOON
        path.mkdir()
        self.git("init", "--quiet", "--initial-branch=main", *init)

    def git(self, *arguments: str, address: str = "Ann@Example.org") -> str:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.path),
            "GIT_AUTHOR_NAME": "Ann",
            "GIT_AUTHOR_EMAIL": address,
            "GIT_AUTHOR_DATE": "2001-01-01T00:00:00Z",
            "GIT_COMMITTER_NAME": "Carl",
            "GIT_COMMITTER_EMAIL": "carl@example.org",
            "GIT_COMMITTER_DATE": f"@{self.seconds} +0530",
        }
        command = ["git", "-C", str(self.path), *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, check=True)
        return done.stdout.decode().strip()

    def commit(self, files: dict[str | bytes, bytes] | None = None, **author) -> str:
        for name, content in (files or {}).items():
            path = self.path / os.fsdecode(name)  # a name may be bytes that are not UTF-8
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "a subject", **author)
        self.seconds += 3600
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path):
    return Repository(tmp_path / "clone")


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "raw"


def rows(folder: Path) -> dict[str, dict]:
    """Return the exported rows by commit id; each id must occur once."""
    found = []
    for path in sorted(folder.iterdir()):
        with gzip.open(path, "rt", encoding="ascii") as file:
            found += csv.DictReader(file)
    by_id = {row["commit_id"]: row for row in found}
    assert len(by_id) == len(found)
    return by_id


def only(clone: Path, folder: Path) -> dict:
    (row,) = rows(git_log.export(clone, folder)).values()
    return row


def test_a_commit_becomes_one_row_with_its_committers_time_in_utc(repository, folder):
    commit_id = repository.commit({"a.py": b"1\n2\n", "b.py": b"1\n"})
    assert only(repository.path, folder) == {
        "commit_id": commit_id,
        "author": hashlib.sha256(b"ann@example.org").hexdigest(),
        "is_bot": "False",
        "committed_at": "2023-11-15 12:00:00",
        "parents": "0",
        "lines_added": "3",
        "lines_deleted": "0",
        "test_files": "0",
        "docs_files": "0",
        "config_files": "0",
        "code_files": "2",
    }


def test_no_address_name_subject_or_path_is_written(repository, folder):
    repository.commit({"secret_path.py": b"1\n"}, address="ann@example.org")
    (file,) = git_log.export(repository.path, folder).iterdir()
    written = file.read_bytes() + gzip.decompress(file.read_bytes())
    for word in (b"example", b"Ann", b"ann@", b"Carl", b"subject", b"secret_path"):
        assert word not in written


def test_second_export_writes_only_new_commits_to_a_new_file(repository, folder):
    one, two = repository.commit({"a": b"1\n"}), repository.commit({"a": b"2\n"})
    git_log.export(repository.path, folder)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    git_log.export(repository.path, folder)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    three = repository.commit({"a": b"3\n"})
    git_log.export(repository.path, folder)
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [f"{two}.csv.gz", f"{three}.csv.gz"]
    )
    assert {path: path.read_bytes() for path in before} == before
    assert set(rows(folder)) == {one, two, three}


def test_a_branch_merged_later_is_exported_though_its_commits_are_older(repository, folder):
    repository.commit({"a": b"1\n"})
    repository.git("switch", "--quiet", "--create", "side")
    side = repository.commit({"b": b"1\n"})
    repository.git("switch", "--quiet", "main")
    repository.commit({"c": b"1\n"})
    assert side not in rows(git_log.export(repository.path, folder))
    repository.git("merge", "--quiet", "--no-edit", "side")
    exported = rows(git_log.export(repository.path, folder))
    merge = exported[repository.git("rev-parse", "HEAD")]
    assert side in exported and len(exported) == 4
    assert merge["parents"] == "2" and merge["lines_added"] == merge["code_files"] == "0"


def test_the_same_commits_give_the_same_bytes(repository, tmp_path):
    repository.commit({"a": b"1\n"})
    (one,) = git_log.export(repository.path, tmp_path / "one").iterdir()
    (two,) = git_log.export(repository.path, tmp_path / "two").iterdir()
    assert one.name == two.name and one.read_bytes() == two.read_bytes()
    flags, written_at = one.read_bytes()[3], one.read_bytes()[4:8]
    assert flags == 0 and written_at == b"\0\0\0\0"


def test_export_works_after_the_last_exported_head_is_gone(repository, folder):
    folder.mkdir()
    shutil.copyfile(__file__, folder / f"{'0' * 40}.csv.gz")
    commit_id = repository.commit()
    git_log.export(repository.path, folder)
    assert (folder / f"{commit_id}.csv.gz").exists()


def test_several_clones_may_fill_one_folder(repository, folder, tmp_path):
    other = Repository(tmp_path / "other")
    ids = {repository.commit({"a": b"1\n"}), other.commit({"b": b"1\n"})}
    git_log.export(repository.path, folder)
    assert set(rows(git_log.export(other.path, folder))) == ids


def test_binary_files_count_as_files_without_lines(repository, folder):
    repository.commit({"a.bin": b"\0\1\2\n", "b.c": b"1\n"})
    row = only(repository.path, folder)
    assert (row["code_files"], row["lines_added"]) == ("2", "1")


def test_rename_counts_as_one_file_without_changed_lines(repository, folder):
    repository.commit({"a.py": b"1\n2\n3\n4\n", "z.py": b"other\n"})
    (repository.path / "docs").mkdir()
    repository.git("mv", "a.py", "docs/a.py")
    (repository.path / "z.py").write_bytes(b"other\nmore\n")
    commit_id = repository.commit()
    row = rows(git_log.export(repository.path, folder))[commit_id]
    assert (row["docs_files"], row["code_files"]) == ("1", "1")
    assert (row["lines_added"], row["lines_deleted"]) == ("1", "0")


def test_an_empty_commit_is_a_row_of_zeros(repository, folder):
    repository.commit()
    row = only(repository.path, folder)
    assert {row[name] for name in git_log.COLUMNS[4:]} == {"0"}


ODD_NAMES = [
    b"a\nb.py",
    b"commit 1\t2\t3.py",
    b'q"uote\\.py',
    b"\xff\xfe.py",
    b"1\t2\t.py",
    b" .py",
]


def test_odd_bytes_in_paths_do_not_break_the_count(repository, folder):
    first = repository.commit({name: b"1\n" * 20 for name in ODD_NAMES})
    for number, name in enumerate(ODD_NAMES):
        path = repository.path / os.fsdecode(name)
        path.rename(repository.path / f"commit {number} {os.fsdecode(name)}")
    second = repository.commit()
    exported = rows(git_log.export(repository.path, folder))
    assert exported[first]["code_files"] == exported[second]["code_files"] == "6"
    assert exported[first]["lines_added"] == "120" and exported[second]["lines_added"] == "0"


def test_quotes_and_newlines_in_text_still_give_one_row_per_commit(repository, folder):
    repository.git(
        "-c", 'user.name=x", "y', "commit", "--quiet", "--allow-empty", "--cleanup=verbatim",
        "--message", 'commit "0"\n\n1\t2\tthree\n,;\n\tcommit\n',
    )  # fmt: skip
    assert only(repository.path, folder)["parents"] == "0"


def raw_commit(repository: Repository, author: bytes, committer: bytes) -> None:
    """Make a commit that git itself would not; `committer` may add headers."""
    tree = repository.git("write-tree")
    text = b"tree %s\nauthor %s\ncommitter %s\n\nodd\n" % (tree.encode(), author, committer)
    command = ["git", "-C", str(repository.path), "hash-object", "-t", "commit", "--literally"]
    made = subprocess.run([*command, "-w", "--stdin"], input=text, capture_output=True, check=True)
    repository.git("update-ref", "HEAD", made.stdout.decode().strip())


@pytest.mark.parametrize("address", [b"", b" ", b"\t"])
def test_a_commit_without_an_address_has_no_author(repository, folder, address):
    raw_commit(repository, b"A <%s> 1700049600 +0000" % address, b"C <c@x> 1700049600 +0000")
    assert only(repository.path, folder)["author"] == ""


@pytest.mark.parametrize("address", [b"\xe4\xff@x", b"a b\tc@x", b'"a,b"@x', b"\x01commit @x"])
def test_odd_bytes_in_an_address_are_hashed_like_any_other(repository, folder, address):
    raw_commit(repository, b"A <%s> 1700049600 +0000" % address, b"C <c@x> 1700049600 +0000")
    assert len(only(repository.path, folder)["author"]) == 64


@pytest.mark.parametrize("time", [b"99999999999999999 +0000", b"", b"-5 +0000"])
def test_invalid_time_is_kept_so_that_the_build_rejects_it(repository, folder, time):
    raw_commit(repository, b"A <a@x> 1700049600 +0000", b"C <c@x> " + time)
    git_log.export(repository.path, folder)
    with loaded(folder) as db:
        assert db.execute("select event_time from raw.events").fetchall() == [(None,)]


def test_commit_signatures_are_ignored(repository, folder):
    repository.git("config", "log.showSignature", "true")
    signed = (
        b"C <c@x> 1700049600 +0000\ngpgsig -----BEGIN PGP SIGNATURE-----\n \n x\n -----END-----"
    )
    raw_commit(repository, b"A <a@x> 1700049600 +0000", signed)
    assert only(repository.path, folder)["author"] == hashlib.sha256(b"a@x").hexdigest()


def test_times_are_utc_wherever_the_job_runs(repository, folder, monkeypatch):
    repository.commit()
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    try:
        assert only(repository.path, folder)["committed_at"] == "2023-11-15 12:00:00"
    finally:
        monkeypatch.undo()
        time.tzset()


def test_mailmap_of_the_repository_joins_addresses_of_a_person(repository, folder):
    repository.commit(address="old@example.org")
    repository.commit(
        {".mailmap": b"<new@example.org> <old@example.org>\n"}, address="new@example.org"
    )
    exported = rows(git_log.export(repository.path, folder)).values()
    assert {row["author"] for row in exported} == {hashlib.sha256(b"new@example.org").hexdigest()}


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("src/app.py", "code"),
        ("latest/app.py", "code"),
        ("src/contest.py", "code"),
        ("img/logo.png", "code"),
        ("tests/readme.md", "test"),
        ("a/Test/B.java", "test"),
        ("pkg/thing_test.go", "test"),
        ("app.spec.ts", "test"),
        ("test_a.py", "test"),
        ("docs/conf.py", "docs"),
        ("README", "docs"),
        ("x/Notes.MD", "docs"),
        (".github/workflows/ci.sh", "config"),
        ("pyproject.toml", "config"),
        ("sub/Makefile", "config"),
        ("requirements-dev.txt", "config"),
    ],
)
def test_kind_of_a_file_follows_from_its_path(repository, folder, path, kind):
    repository.commit({path: b"1\n"})
    row = only(repository.path, folder)
    assert {name: int(row[f"{name}_files"]) for name in git_log.KINDS} == {
        name: int(name == kind) for name in git_log.KINDS
    }


def test_git_settings_and_environment_of_a_person_change_nothing(
    repository, folder, tmp_path, monkeypatch
):
    repository.commit({"a.py": b"1\n2\n3\n"})
    repository.git("mv", "a.py", "b.py")
    repository.commit()
    plain = rows(git_log.export(repository.path, folder))
    for setting in ("log.showRoot=false", "diff.renames=false", "log.showSignature=true",
                    "log.decorate=full", "color.ui=always"):  # fmt: skip
        repository.git("config", *setting.split("="))
    other = Repository(tmp_path / "other")
    monkeypatch.setenv("GIT_DIR", str(other.path / ".git"))
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", "false")
    monkeypatch.chdir(tmp_path)
    assert rows(git_log.export(Path("clone"), tmp_path / "again")) == plain


def test_bare_and_detached_clones_are_accepted(repository, folder, tmp_path):
    first = repository.commit({"a": b"1\n"})
    repository.commit({"a": b"2\n"})
    repository.git("clone", "--quiet", "--bare", ".", str(tmp_path / "bare.git"))
    repository.git("switch", "--quiet", "--detach", first)
    assert set(rows(git_log.export(repository.path, folder))) == {first}
    assert len(rows(git_log.export(tmp_path / "bare.git", folder))) == 2


def test_history_longer_than_a_pipe_buffer_is_read_with_progress(repository, folder):
    commits = 3000
    stream = b"".join(
        b"commit refs/heads/main\nmark :%d\ncommitter A <a%d@x> %d +0000\ndata 0\n%s"
        b"M 644 inline %s\ndata 5\n%05d\n"
        % (i, i % 7, NOON + i, b"from :%d\n" % (i - 1) if i > 1 else b"", b"f" * 200, i)
        for i in range(1, commits + 1)
    )
    command = ["git", "-C", str(repository.path), "fast-import", "--quiet"]
    subprocess.run(command, input=stream, check=True)
    seen = []
    git_log.export(repository.path, folder, progress=lambda done, total: seen.append((done, total)))
    exported = rows(folder)
    assert len(exported) == commits
    assert sum(int(row["code_files"]) for row in exported.values()) == commits
    assert len({row["author"] for row in exported.values()}) == 7
    assert seen[0] == (100, commits) and seen[-1] == (commits, commits)


def test_broken_clone_leaves_no_file_to_ingest(repository, folder):
    repository.commit({"a": b"1\n"})
    blob = repository.git("rev-parse", "HEAD:a")
    repository.commit({"a": b"2\n"})
    (repository.path / ".git/objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(JobError, match=r"git cannot read .*clone: .* Next: see what .* fsck"):
        git_log.export(repository.path, folder)
    assert not list(folder.glob("*.csv.gz"))


def test_missing_folder_or_folder_without_clone_is_refused(tmp_path, repository, folder):
    inside = repository.path / "inside"
    repository.commit({"inside/a": b"1\n"})
    (tmp_path / "plain").mkdir()
    for clone, what in [
        (tmp_path / "nowhere", "nowhere does not exist"),
        (tmp_path / "plain", "plain is not a git clone"),
        (inside, "inside is not a git clone"),
    ]:
        with pytest.raises(JobError, match=f"{what}.* Next: name "):
            git_log.export(clone, folder)
    assert not folder.exists()


def test_a_clone_without_commits_is_refused(repository, folder):
    with pytest.raises(JobError, match=r"no commits on its current branch.* Next: check out"):
        git_log.export(repository.path, folder)


def test_shallow_clone_is_refused(repository, folder, tmp_path):
    repository.commit({"a": b"1\n"})
    repository.commit({"a": b"2\n"})
    url = f"file://{repository.path}"
    repository.git("clone", "--quiet", "--depth=1", url, str(tmp_path / "shallow"))
    with pytest.raises(JobError, match=r"shallow clone.* Next: fetch them with .*--unshallow"):
        git_log.export(tmp_path / "shallow", folder)


def test_without_git_the_error_says_so(repository, folder, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(JobError, match=r"git is not installed.* Next: install git"):
        git_log.export(repository.path, folder)


def test_a_folder_that_cannot_be_written_is_named(repository, folder):
    repository.commit()
    folder.write_text("a file, not a folder")
    with pytest.raises(JobError, match=r"raw cannot be written.* Next: "):
        git_log.export(repository.path, folder)


def loaded(folder: Path) -> duckdb.DuckDBPyConnection:
    db = duckdb.connect()
    ingest(db, domain.load("git_history", Settings()), folder, now=NOW)
    return db


def test_domain_sets_the_event_type_and_keeps_rejected_commits(repository, folder):
    def by(letter: str, *paths: str, address: str = "") -> None:
        repository.commit(
            {path: letter.encode() for path in paths}, address=address or f"{letter}@x"
        )

    by("a", "a.py", "test_a.py", "README")
    by("b", "test_b.py", "setup.cfg", "README")
    by("c", "setup.cfg", "README")
    by("d", "README")
    by("e")
    by("f", "f.py", address="49+helper[bot]@users.noreply.github.com")
    repository.seconds = 0
    by("g", "g.py")
    with loaded(git_log.export(repository.path, folder)) as db:
        events = db.execute(
            "select event_type, reject_reason from raw.events order by event_time, event_id"
        ).fetchall()
        users = db.execute("select count(*), count(distinct user_id) from raw.users").fetchone()
    assert events == [
        ("code", None),
        ("code", None),
        ("test", None),
        ("config", None),
        ("docs", None),
        ("empty", None),
        ("bot", None),
    ]
    assert users == (7, 7)


def test_a_later_run_loads_only_the_new_commits(repository, folder):
    repository.commit({"a": b"1\n"})
    with loaded(git_log.export(repository.path, folder)) as db:
        repository.commit({"a": b"2\n"})
        git_log.export(repository.path, folder)
        done = ingest(db, domain.load("git_history", Settings()), folder, now=NOW)
        assert (done.rows["events"], done.known) == (1, 1)
        again = ingest(db, domain.load("git_history", Settings()), folder, now=NOW)
        assert (again.rows["events"], again.known) == (0, 2)
