"""Published files that are pipes or damaged: one line that names them, and no wait."""

import json
import os
from pathlib import Path

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.homes import churnhouse, copied, refused
from support.processes import within
from support.spoiled import GONE, WRONG, places, spoil


def piped(path: Path) -> None:
    """Put a pipe in place of a file: whoever opens it plainly waits for ever."""
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def test_an_older_version_with_a_pipe_as_manifest_does_not_stop_publishing(home):
    (home / "published/zz").mkdir()
    piped(home / "published/zz/manifest.json")
    before = (home / "published/current").readlink()
    with within(120):
        churnhouse(home, "publish")
    assert (home / "published/current").readlink() != before


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("manifest.json", "manifest.json cannot be read (it is no regular file)."),
        ("words.json", "words.json is missing or is not the file that was published."),
    ],
)
def test_a_pipe_in_the_current_version_is_named(home, name, said):
    piped(home / "published/current" / name)
    with within(60):
        assert said in refused(home, "status")


@pytest.mark.parametrize("command", ["status", "list", "drift"])
@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("list", 5, "list is 5 ("),
        ("files", 5, "files is 5 ("),
        ("as_of_date", 5, "as_of_date is 5 ("),
        ("model", 5, "model is 5 ("),
        ("published_at", "2026-11-30T05:46:48", "it has no time zone"),
        ("timezone", "Mars", "there is no such time zone"),
        ("riskiest", GONE, "it lacks riskiest."),
    ],
)
def test_a_wrong_value_in_the_manifest_is_named(home, command, name, value, why):
    spoil(home / "published/current/manifest.json", (name,), value)
    line = refused(home, command)
    assert "manifest.json is damaged: " in line and why in line and "churnhouse publish" in line


def test_status_says_that_no_label_is_closed(home):
    spoil(home / "published/current/manifest.json", ("base_rate",), None)
    assert "base rate  unknown: no label is closed" in churnhouse(home, "status").stdout


@pytest.fixture(scope="module")
def changing(finished_home: Path, tmp_path_factory) -> Path:
    return copied(finished_home, tmp_path_factory.mktemp("changing") / "data")


@hypothesis.settings(max_examples=60)
@given(data=st.data())
def test_a_wrong_value_anywhere_in_the_manifest_gives_no_traceback(changing, data):
    path = changing / "published/current/manifest.json"
    text = path.read_text()
    content = json.loads(text)
    name = data.draw(st.sampled_from(sorted(content)))
    inner = [place for place in places(content) if place[0] == name]
    spoil(path, data.draw(st.sampled_from(inner)), data.draw(st.sampled_from(WRONG)))
    try:
        for command in ("status", "list", "drift"):
            done = churnhouse(changing, command, check=False)
            assert done.returncode in (0, 1, 2), done.stderr
            assert len(done.stderr.splitlines()) == (done.returncode == 1), done.stderr
    finally:
        path.write_text(text)


@pytest.mark.parametrize(
    "place",
    [
        ("base_rate",),
        ("promoted_at",),
        ("eligibility_days",),
        ("forgotten_at",),
        *(("model", name) for name in ("roc_auc", "average_precision", "precision_at_50")),
        *(("list", name) for name in ("budget", "campaigns", "owners")),
    ],
)
def test_what_is_not_known_is_not_told(changing, place):
    path = changing / "published/current/manifest.json"
    text = path.read_text()
    spoil(path, place, None)
    try:
        for command in ("status", "list"):
            assert "None" not in churnhouse(changing, command).stdout
    finally:
        path.write_text(text)
