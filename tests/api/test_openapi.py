"""schemathesis against the app's own OpenAPI: no 5xx, no undocumented answer."""

import subprocess
import sys
from pathlib import Path

import pytest


def examine(
    server, folder: Path, examples: int, *headers: str, phases: str = "examples,coverage,fuzzing"
) -> None:
    """Run schemathesis; send `headers` with every request."""
    command = [Path(sys.executable).with_name("schemathesis"), "run", f"{server.url}/openapi.json"]
    command += ["--checks", "all", "--phases", phases]
    command += ["--max-examples", str(examples), "--seed", "7"]
    # Which features are optional depends on the user, and cursors come from answers.
    # No schema can express that, so a 422 for valid input is accepted.
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
