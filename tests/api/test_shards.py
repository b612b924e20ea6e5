"""A sharded lookup store answers like one file."""

import asyncio
import os
import shutil
from pathlib import Path

import pytest
from support.homes import churnhouse

from api.store import listing
from api.store.checks import BadVersion
from api.store.publication import Publication, load

NO_FILTER = listing.Filter({}, 0.0)
OF_THE_RUN = {"published_version": None, "scored_at": None}


@pytest.fixture(scope="module")
def stores(finished_home: Path, tmp_path_factory) -> tuple[Publication, Publication, Path]:
    """Return (whole, sharded, folder of the sharded version) of a warehouse of 300 users."""
    home = tmp_path_factory.mktemp("shards") / "data"
    shutil.copytree(finished_home, home, symlinks=True)
    os.environ["CHURNHOUSE_LOOKUP_SHARD_USERS"] = "100"
    try:
        churnhouse(home, "publish")
    finally:
        del os.environ["CHURNHOUSE_LOOKUP_SHARD_USERS"]
    whole, sharded = ((h / "published/current").resolve() for h in (finished_home, home))
    return _open(whole), _open(sharded), sharded


def _open(folder: Path) -> Publication:
    return load(folder.parent, folder.name)


def _ids(store: Publication) -> list[str]:
    return [row[0] for row in store.store.execute("select user_id from users order by 1")]


def test_each_user_is_stored_in_the_shard_that_is_searched(stores):
    whole, sharded, folder = stores
    assert sorted(path.name for path in folder.glob("lookup-*.sqlite")) == [
        f"lookup-{number}.sqlite" for number in range(3)
    ]
    assert sharded.shards == 3
    assert _ids(sharded) == _ids(whole)
    counts = [
        sharded.store.execute(f"select count(*) from shard_{number}.users").fetchone()[0]
        for number in range(3)
    ]
    assert sum(counts) == 300
    assert min(counts) > 60
    for user_id in _ids(whole):
        found = [store.prediction(user_id) | OF_THE_RUN for store in (sharded, whole)]
        assert found[0] == found[1]
        assert sharded.user_features(user_id) == whole.user_features(user_id)
        assert sharded.series(user_id) == whole.series(user_id)
        assert sharded.actions(user_id) == whole.actions(user_id)
    assert sharded.prediction("nobody") is None


def test_sharded_store_gives_the_lists_and_facts_of_one_file(stores):
    whole, sharded, _ = stores
    for sort in listing.SORTS:
        found = [asyncio.run(listing.top(store, NO_FILTER, sort, 50)) for store in stores[:2]]
        assert found[0] == found[1]
    ranks = [asyncio.run(listing.ranks(store, NO_FILTER, 17, 30)) for store in stores[:2]]
    assert ranks[0] == ranks[1] == list(range(18, 48))
    shown = [listing.rows(store, ranks[0]) for store in stores[:2]]
    for one, other in zip(*shown, strict=True):
        assert one | OF_THE_RUN == other | OF_THE_RUN
    prefix = _ids(whole)[0][:6]
    begins = listing.Filter(condition="substr(user_id, 1, 6) = ?", values=(prefix,))
    found = [asyncio.run(listing.top(store, begins, "user_id", 40)) for store in stores[:2]]
    assert found[0] == found[1] and found[0][1] > 0
    for fact in ("users", "max_rank", "attributes", "prediction_columns", "choices"):
        assert getattr(sharded, fact) == getattr(whole, fact)
    assert sharded.bands.keys() == whole.bands.keys()
    assert sharded.monitoring.keys() == whole.monitoring.keys()


def test_list_by_rank_reads_each_shard_through_its_index(stores):
    _, sharded, _ = stores
    plan = sharded.store.execute(
        "explain query plan select risk_rank from users where risk_rank > 17 and risk_rank <= 99"
        " order by risk_rank limit 30"
    ).fetchall()
    assert "TEMP B-TREE" not in str(plan)
    assert str(plan).count("INDEX users_by_rank") == 3


def test_version_with_a_missing_or_changed_shard_is_refused(stores, tmp_path):
    folder = tmp_path / stores[2].name
    shutil.copytree(stores[2], folder)
    shard = folder / "lookup-1.sqlite"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(BadVersion, match=r"lookup-1\.sqlite is not the file that was published"):
        _open(folder)
    shard.unlink()
    with pytest.raises(BadVersion, match=r"lookup-1\.sqlite is missing"):
        _open(folder)
