"""model_attributes: an attribute that the model must not learn stays a filter and a slice."""

import shutil

from api.store.publication import load
from python_jobs import pipeline
from python_jobs.registry import store
from python_jobs.settings import PROJECT, Settings


def test_attribute_kept_out_of_the_model_stays_a_filter_and_a_slice(home, tmp_path):
    """After train, promote, score and publish in a domain that names plan alone."""
    folder = tmp_path / "domains/elearning"
    shutil.copytree(PROJECT / "domains/elearning", folder)
    text = (folder / "domain.yml").read_text(encoding="utf-8")
    text = text.replace("  measures:", "  model_attributes: [plan]\n  measures:", 1)
    (folder / "domain.yml").write_text(text, encoding="utf-8")
    settings = Settings(home=home, domains=folder.parent)
    before = store.production(settings.models).version
    assert {"plan", "country"} <= store.read_features(settings.models, before).values.keys()
    pipeline.train(settings, seed=7, time_budget=0)
    version = store.versions(settings.models)[-1]
    features = store.read_features(settings.models, version)
    assert version != before and features.values.keys() == {"plan"}
    assert not {"country", "marketing_source"} & set(features.names)
    slices = store.read_json(settings.models, version, "metrics.json")["slices"]
    assert slices.keys() == {"plan", "country", "marketing_source"}
    assert pipeline.promote(settings, version)
    pipeline.score_and_publish(settings)
    current = (settings.published / "current").resolve()
    publication = load(settings.published, current.name)
    assert publication.model_version == version
    assert publication.choices.keys() == {"plan", "country", "marketing_source"}
    assert publication.known_values.keys() == {"plan"}
