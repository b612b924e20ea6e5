"""Whose sample of training rows is kept as the baseline of drift."""

from datetime import UTC, datetime

from python_jobs.registry import store
from python_jobs.scoring.snapshots import REFERENCE_VERSIONS, _kept
from python_jobs.settings import Settings

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def test_the_sample_of_production_stays_however_many_versions_were_not_promoted(tmp_path):
    settings = Settings(home=tmp_path)
    models = settings.models
    names = [f"2026-01-01T{n:06}Z-0a1b2c3d" for n in range(REFERENCE_VERSIONS + 3)]
    for name in names:
        with store.new_version(models, name, {}) as folder:
            (folder / "model.onnx").write_text(name)
    assert names[0] not in _kept(models, names[-1])
    store.swap_production(settings, None, names[0], NOW)
    kept = _kept(models, names[1])
    assert set(kept) == {names[0], names[1], *names[3:]}
