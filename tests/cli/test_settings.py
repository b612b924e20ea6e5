"""Settings: invalid values are named, and .env.example lists every setting."""

import re

import pytest
from support.homes import PROJECT

from api.settings import ApiSettings
from python_jobs.errors import JobError
from python_jobs.settings import Settings

EXAMPLE = (PROJECT / ".env.example").read_text(encoding="utf-8")
WRONG = {
    "THREADS": ("0", "-2", "many", "5000", ""),
    "MAX_TRAINING_ROWS": ("0", "-1"),
    "LOOKUP_SHARD_USERS": ("0", "1.5"),
    "MEMORY_LIMIT": ("",),
    "SPILL_LIMIT": ("",),
    "HOME": ("",),
    "TARGET": ("postgres",),
    "APPROVAL_REQUIRED": ("perhaps",),
    "WEBHOOK_URL": (
        *("", "http://hooks.example.com", "ftp://127.0.0.1", "hooks.example.com", "https://"),
        *("https://me@hooks.example.com", "https://h.example/ x", "https://h.example:x/"),
        *("http://127.0.0.1.example.com", "https://h.example:99999/"),
    ),
}
WRONG_FOR_THE_API = {
    "API_SESSION_SECRET": ("",),
    "CORS_ORIGINS": (
        *("", "https://a.example,", "https://a.example/", "https://a.example:443"),
        *("ftp://a.example", "https://A.example", "https://u@a.example"),
    ),
    "API_SESSION_HOURS": ("0", "nan"),
    "API_LOG_LEVEL": ("loud",),
    "API_RATE_PER_SECOND": ("0", "inf"),
    "API_BURST": ("0",),
    "API_WORKERS": ("0",),
    "API_RELOAD_SECONDS": ("0",),
    "API_RETRY_SECONDS": ("-1",),
    "API_UNREAD_BYTES": ("-1",),
    "API_CONNECTIONS": ("5",),
}


def every(wrong: dict) -> list[tuple[str, str]]:
    return [(name, value) for name, values in wrong.items() for value in values]


@pytest.mark.parametrize(("name", "value"), every(WRONG))
def test_a_bad_setting_is_one_line_that_names_it(command, name, value):
    assert f"CHURNHOUSE_{name}={value}: it " in command("status", **{name: value}).line


@pytest.mark.parametrize(("name", "value"), every(WRONG_FOR_THE_API))
def test_a_bad_setting_of_the_api_is_named(monkeypatch, name, value):
    monkeypatch.setenv(f"CHURNHOUSE_{name}", value)
    with pytest.raises(JobError, match=rf"^CHURNHOUSE_{name}={value}: it .* Next: correct it"):
        ApiSettings()


@pytest.mark.parametrize("secret", ["plain", "whsec_c2hvcnQ=", "whsec_!!", "whsec_" + "A" * 100])
def test_a_bad_secret_is_named_and_not_shown(secret):
    with pytest.raises(JobError, match=r"CHURNHOUSE_WEBHOOK_SECRET=\.\.\.: it ") as refused:
        Settings(webhook_secret=secret)
    assert secret not in str(refused.value)


def test_a_short_signing_key_is_named_and_not_shown():
    with pytest.raises(
        JobError, match=r"SIGNING_KEY=\.\.\.: it should have at least 32"
    ) as refused:
        Settings(signing_key="too short")
    assert "too short" not in str(refused.value)


def test_home_name_that_is_not_utf8_is_refused():
    with pytest.raises(JobError, match=r"'/data/\\udcff' cannot be read as UTF-8"):
        Settings(home="/data/\udcff")


def test_env_example_has_every_setting_and_no_other():
    fields = {f"CHURNHOUSE_{name}".upper() for name in ApiSettings.model_fields}
    for path in ("profiles.yml", "docker-compose.yml", "macros/hooks/limit_resources.sql"):
        text = (PROJECT / path).read_text(encoding="utf-8")
        fields |= set(re.findall(r"CHURNHOUSE_[A-Z_]+[A-Z]", text))
    others = {"CHURNHOUSE_COMMIT", "MLFLOW_TRACKING_URI"}
    assert set(re.findall(r"^#([A-Z_]+)=", EXAMPLE, re.MULTILINE)) == fields | others


def test_env_example_shows_the_defaults():
    shown = dict(re.findall(r"^#CHURNHOUSE_([A-Z_]+)=(.*)$", EXAMPLE, re.MULTILINE))
    for name, field in ApiSettings.model_fields.items():
        if (
            field.default not in (None, ())
            and not field.is_required()
            and not field.default_factory
        ):
            given = ApiSettings(**{name: shown[name.upper()]})
            assert getattr(given, name) == field.default, name
