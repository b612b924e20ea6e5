"""Object storage: new files are loaded once, known ones are not fetched again."""

import os
import subprocess
import sys
import urllib.request

import pytest
from support.running import free_port, wait_until
from support.shop import NOW, Shop

from python_jobs.errors import JobError
from python_jobs.ingest import remote
from python_jobs.ingest.load import ingest

pytest.importorskip("s3fs", reason="needs the extra s3")
YML = """
files: {events: {path: "events/**", columns: {id: text, who: text, at: timestamp}}}
vars:
  users_from_events: true
  event_types: {visit: {is_activity: true}}
  measures: [{name: visits, event_type: visit, agg: count}]
"""
SQL = """create or replace temp view events as
select id as event_id, who as user_id, "at" as event_time, 'visit' as event_type from events_file"""


@pytest.fixture(scope="module")
def s3(tmp_path_factory):
    """Yield a bucket of a storage server on loopback."""
    port = free_port()
    log = (tmp_path_factory.mktemp("s3") / "moto.log").open("w")
    command = [sys.executable, "-m", "moto.server", "-p", str(port), "-H", "127.0.0.1"]
    process = subprocess.Popen(command, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    keys = {
        **dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "test"),
        "AWS_ENDPOINT_URL": address,
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    before = dict(os.environ)
    os.environ.update(keys)
    try:
        wait_until(lambda: _answers(address), what="moto", seconds=60)
        import s3fs

        storage = s3fs.S3FileSystem(skip_instance_cache=True)
        storage.mkdir("raw-files")
        yield storage
    finally:
        os.environ.clear()
        os.environ.update(before)
        process.terminate()
        process.wait(20)
        log.close()


def _answers(address: str) -> bool:
    try:
        urllib.request.urlopen(f"{address}/moto-api/", timeout=2).close()
    except OSError:
        return False
    return True


def test_new_objects_are_loaded_once_and_known_ones_stay_where_they_are(tmp_path, s3, monkeypatch):
    shop = Shop(tmp_path, YML, SQL)

    def load():
        with remote.mirror("s3://raw-files", shop.db) as folder:
            return ingest(shop.db, shop.domain, folder, now=NOW)

    s3.pipe("raw-files/events/2026/a.csv", b"id,who,at\n1,ann,2026-02-01\n")
    assert load().loaded == ["events/2026/a.csv"]
    s3.pipe("raw-files/events/b.csv", b"id,who,at\n2,bob,2026-02-02\n")
    fetched = []
    made = remote._storage

    def counting(place):
        storage, root = made(place)
        get_file = storage.get_file
        storage.get_file = lambda key, to: (fetched.append(key), get_file(key, to))
        return storage, root

    monkeypatch.setattr(remote, "_storage", counting)
    done = load()
    assert (done.loaded, done.known) == (["events/b.csv"], 1)
    assert fetched == ["raw-files/events/b.csv"]
    assert load().loaded == [] and len(fetched) == 1
    assert shop.rows("select user_id from raw.events order by 1") == [("ann",), ("bob",)]


def test_a_missing_bucket_and_an_unknown_address_are_one_line(s3):
    with pytest.raises(JobError, match="s3://no-such-bucket"), remote.mirror("s3://no-such-bucket"):
        pass
    with pytest.raises(JobError, match="carrier://x"), remote.mirror("carrier://x"):
        pass
