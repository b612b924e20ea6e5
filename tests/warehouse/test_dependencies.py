"""A build finds every model that a model reads, whatever the domain sets."""

import re
from pathlib import Path

from support import parsed

from python_jobs.settings import Settings
from python_jobs.warehouse.dbt import Dbt

REF = re.compile(r"\bref\('(\w+)'\)")


def test_every_ref_is_known_before_the_domain_is_read(tmp_path: Path):
    with parsed.once():
        manifest = Dbt(Settings(home=tmp_path / "data")).parse()
    models = [node for node in manifest.nodes.values() if node.resource_type == "model"]
    unknown = {
        (model.name, name)
        for model in models
        for name in REF.findall(model.raw_code)
        if name not in {node.rsplit(".", 1)[-1] for node in model.depends_on.nodes}
    }
    assert len(models) > 60
    assert unknown == set(), "add `-- depends_on:` at the top of the model"
