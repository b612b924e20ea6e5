"""Whose sample of training rows is kept as the baseline of drift."""

from datetime import UTC, datetime

from python_jobs.registry import store
from python_jobs.scoring.snapshots import REFERENCE_VERSIONS, _kept

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def test_the_sample_of_production_stays_however_many_versions_were_not_promoted(tmp_path):
    names = [f"2026-01-01T{n:06}Z-0a1b2c3d" for n in range(REFERENCE_VERSIONS + 3)]
    for name in names:
        with store.new_version(tmp_path, name, {}) as folder:
            (folder / "model.onnx").write_text(name)
    assert names[0] not in _kept(tmp_path, names[-1])
    store.swap_production(tmp_path, None, names[0], NOW)
    kept = _kept(tmp_path, names[1])
    assert set(kept) == {names[0], names[1], *names[3:]}
