"""schemathesis against the running app's own OpenAPI: no 5xx, no answer the document denies."""

import subprocess
import sys
from pathlib import Path

import pytest


def examine(
    server, folder: Path, examples: int, *headers: str, phases: str = "examples,coverage,fuzzing"
) -> None:
    """Run schemathesis; `headers` go with every request."""
    command = [Path(sys.executable).with_name("schemathesis"), "run", f"{server.url}/openapi.json"]
    command += ["--checks", "all", "--phases", phases]
    command += ["--max-examples", str(examples), "--seed", "7"]
    # which features may be left out depends on the user, and a cursor is given by an answer:
    # no schema can say either, so a 422 to what the schema allows is no fault
    command += ["--exclude-checks", "positive_data_acceptance"]

    for header in headers:
        command += ["-H", header]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]


def test_openapi_contract_holds_without_keys(server, tmp_path):
    examine(server, tmp_path, 5)


def test_openapi_contract_holds_with_a_key(keyed, tmp_path):
    examine(keyed.server, tmp_path, 5, f"Authorization: Bearer {keyed.operator}")


def test_requests_without_a_key_get_only_problem_documents(keyed, tmp_path):
    examine(keyed.server, tmp_path, 4, phases="examples,fuzzing")


@pytest.mark.nightly
def test_openapi_contract_holds_with_many_examples(server, keyed, tmp_path):
    examine(server, tmp_path, 150)
    examine(keyed.server, tmp_path, 150, f"Authorization: Bearer {keyed.operator}")
