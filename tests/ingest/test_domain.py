"""domain: errors in domain.yml are named with their key before anything is loaded."""

import json
import re
import shutil
from pathlib import Path

import pytest

from python_jobs import pipeline
from python_jobs.errors import JobError
from python_jobs.ingest import domain
from python_jobs.settings import Settings
from python_jobs.training.estimators import CANDIDATES
from python_jobs.training.train import TIME_BUDGET

SHIPPED = ["elearning", "git_history", "online_retail"]
GOOD = """
files:
  events:
    path: events/*
    columns: {id: text, amount: number}
vars:
  users_from_events: true
  attributes: [plan]
  event_types: {buy: {is_activity: true}, look: {is_activity: false}}
  measures:
    - {name: spend, event_type: buy, agg: sum, column: amount}
    - {name: looks, event_type: look, agg: count}
    - {name: price, agg: avg, column: amount}
  ratios:
    - {name: look_rate, part: looks, of: [looks, spend]}
"""


@pytest.fixture
def domains(tmp_path):
    write(tmp_path, GOOD)
    return tmp_path


def write(domains, text, name="shop") -> None:
    folder = domains / name
    folder.mkdir(exist_ok=True)
    (folder / "domain.yml").write_bytes(text if isinstance(text, bytes) else text.encode())
    (folder / "ingest.sql").write_text("select 1")


def refusal(domains, name="shop") -> str:
    with pytest.raises(JobError) as refused:
        domain.load(name, Settings(domains=domains))
    said = str(refused.value)
    assert "\n" not in said and " Next: " in said
    return said.removeprefix(f"{domains}/")


def load(domains, name="shop") -> domain.Domain:
    return domain.load(name, Settings(domains=domains))


@pytest.mark.parametrize("name", ["elearning", "git_history", "online_retail"])
def test_every_shipped_domain_is_valid(name, tmp_path):
    assert load(tmp_path, name).vars.measures
    assert list(domain.available(Settings(domains=tmp_path))) == SHIPPED


def test_own_domains_are_found_beside_the_shipped_ones(domains):
    found = domain.available(Settings(domains=domains))
    assert list(found) == [*SHIPPED, "shop"]
    assert found["shop"] == domains / "shop" and found["elearning"] == domain.SHIPPED / "elearning"


def test_default_domain_folder_is_in_the_working_directory(domains, tmp_path_factory, monkeypatch):
    monkeypatch.delenv("CHURNHOUSE_DOMAINS", raising=False)
    work = tmp_path_factory.mktemp("work")
    monkeypatch.chdir(work)
    assert list(domain.available(Settings())) == SHIPPED
    (work / "domains").symlink_to(domains)
    assert domain.load("shop", Settings()).folder == Path("domains/shop")


def test_own_domain_wins_over_a_shipped_one_and_says_so(domains):
    write(domains, GOOD, name="elearning")
    loaded = load(domains, "elearning")
    assert [measure.name for measure in loaded.vars.measures] == ["spend", "looks", "price"]
    assert str(domains / "elearning") in loaded.note and "not the shipped one" in loaded.note


def test_a_copy_of_a_shipped_domain_needs_no_note(domains):
    shutil.copytree(domain.SHIPPED / "elearning", domains / "elearning")
    assert load(domains, "elearning").note is None
    assert load(domains).note is None
    assert domain.load("elearning", Settings(domains=domain.SHIPPED)).note is None
    with (domains / "elearning/ingest.sql").open("a") as file:
        file.write("-- changed\n")
    assert load(domains, "elearning").note


def test_missing_domain_folder_is_named(domains):
    said = refusal(domains / "nowhere", "elearning")
    assert said.startswith(f"CHURNHOUSE_DOMAINS={domains}/nowhere is not a folder.")


def test_domain_takes_missing_settings_from_the_project(domains):
    loaded = load(domains)
    assert loaded.vars.churn_horizon_days == 30 and loaded.vars.timezone == "UTC"
    assert [measure.name for measure in loaded.vars.measures] == ["spend", "looks", "price"]
    assert loaded.files.users is None and loaded.mapping(loaded.files.events[0]) == "select 1"


def test_settings_of_training_ask_for_no_rebuild(domains):
    plain = load(domains).settings_json
    settings = "models: {time_budget: 60, replace_after_days: 90}\nmodel_attributes: []\n"
    write(domains, GOOD + settings)
    changed = load(domains)
    assert changed.vars.models.time_budget == 60 and changed.settings_json == plain


def test_settings_of_lists_are_stored_and_ask_for_no_rebuild(domains):
    plain = load(domains)
    settings = "  user_value: 7\n  top_k: 9\n  list: {order: loss}\n  holdout_share: 0.2\n"
    write(domains, GOOD + settings)
    changed = load(domains)
    assert json.loads(changed.settings_json)["top_k"] == 9
    assert changed.built_with_json == plain.built_with_json
    assert '"holdout_share"' not in changed.built_with_json
    write(domains, GOOD + "  eligibility_days: 31\n")
    assert load(domains).built_with_json != plain.built_with_json


def test_words_and_actions_ask_for_no_rebuild(domains):
    plain = load(domains).settings_json
    words = GOOD.replace("column: amount}", "column: amount, label: sales, unit: €}", 1)
    words = words.replace("of: [looks, spend]}", "of: [looks, spend], label: looking}")
    write(domains, words + "  verb: [buy, bought]\n  actions: {silence: Call., plan: Upgrade.}\n")
    changed = load(domains)
    assert changed.vars.measures[0].unit == "€" and changed.vars.actions["plan"] == "Upgrade."
    assert changed.settings_json == plain


def test_time_budget_is_the_option_else_the_variable_else_the_domains(domains, monkeypatch):
    write(domains, GOOD + "models: {time_budget: 9}\n")
    chosen = load(domains)
    assert pipeline.seconds_of_search(None, Settings(), chosen) == 9
    monkeypatch.setenv("CHURNHOUSE_TIME_BUDGET", "0")
    assert pipeline.seconds_of_search(None, Settings(), chosen) == 0
    assert pipeline.seconds_of_search(1, Settings(), chosen) == 1


def test_domain_may_name_every_candidate(domains):
    models = load(domains).vars.models
    assert models.candidates == list(CANDIDATES) and models.time_budget == TIME_BUDGET


def test_stored_domain_changes_with_any_setting(domains):
    plain = load(domains).settings_json
    assert load(domains).settings_json == plain
    assert json.loads(plain)["measures"][1] == {
        "name": "looks",
        "event_type": "look",
        "agg": "count",
        "scale": 4,
    }
    write(domains, GOOD + "  eligibility_days: 31\n")
    assert load(domains).settings_json != plain
    write(domains, GOOD, name="shoe")
    assert load(domains, "shoe").settings_json != plain


def test_environment_replaces_settings_of_the_domain(domains, monkeypatch):
    own = load(domains).vars
    assert (own.churn_horizon_days, own.top_k) == (30, 50)
    monkeypatch.setenv(
        "CHURNHOUSE_VARS",
        '{"churn_horizon_days": 14, "offer_cost": 2.5, "top_k": 200, "list": {"budget": 900}}',
    )
    changed = load(domains).vars
    assert (changed.churn_horizon_days, changed.offer_cost, changed.top_k) == (14, 2.5, 200)
    assert changed.list.budget == 900 and changed.list.where == own.list.where
    assert changed.measures == own.measures
    write(domains, GOOD + "  list: {budget: 100, explore_share: 0.2}\n")
    parts = load(domains).vars.list
    assert (parts.budget, parts.explore_share) == (900, 0.2)


@pytest.mark.parametrize(
    "given, says",
    [
        ('{"topk": 5}', "CHURNHOUSE_VARS: unknown key 'topk' (did you mean 'top_k'?)"),
        ('{"top_k": 0}', "CHURNHOUSE_VARS: top_k: Input should be greater than or equal to 1"),
        ('{"list": {"budget": -1}}', "CHURNHOUSE_VARS: list.budget: Input should be"),
        ("top_k: 5", "CHURNHOUSE_VARS=top_k: 5: Invalid JSON"),
        ("[5]", "CHURNHOUSE_VARS=[5]: it should be a valid dictionary"),
    ],
)
def test_a_bad_setting_of_the_environment_is_named(domains, monkeypatch, given, says):
    monkeypatch.setenv("CHURNHOUSE_VARS", given)
    assert refusal(domains).startswith(says)


def test_unknown_domain_suggests_a_close_name_and_lists_domains(domains):
    write(domains, GOOD, name="portal")
    said = refusal(domains, "shopp")
    assert said.startswith("There is no domain 'shopp' (did you mean 'shop'?) ")
    assert f"in {domains} or among the shipped ones in {domain.SHIPPED}." in said
    assert "choose one of elearning, git_history, online_retail, portal, shop, " in said
    assert f"or add {domains}/shopp/ with domain.yml and ingest.sql" in said
    assert "did you mean" not in refusal(domains, "zzz")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("vars:", "var:", "unknown key 'var' (did you mean 'vars'?)"),
        ("files:", "file:", "unknown key 'file' (did you mean 'files'?)"),
        ("  events:\n", "  event:\n", "unknown key 'files.event' (did you mean 'events'?)"),
        ("    path:", "    pth:", "unknown key 'files.events.pth' (did you mean 'path'?)"),
        (
            "  attributes:",
            "  atributes:",
            "unknown key 'vars.atributes' (did you mean 'attributes'?)",
        ),
        (
            "event_type: look,",
            "evnt_type: look,",
            "unknown key 'vars.measures.1.evnt_type' (did you mean 'event_type'?)",
        ),
        ("part: looks", "prt: looks", "unknown key 'vars.ratios.0.prt' (did you mean 'part'?)"),
        (
            "{is_activity: false}",
            "{is_activty: false}",
            "unknown key 'vars.event_types.look.is_activty' (did you mean 'is_activity'?)",
        ),
        (
            "  ratios:",
            "  checks: {amount: {maxx: 3}}\n  ratios:",
            "unknown key 'vars.checks.amount.maxx' (did you mean 'max'?)",
        ),
        ("vars:", "vars:\n  zzz: 1", "unknown key 'vars.zzz' (line 7)."),
    ],
)
def test_misspelt_key_is_named_with_its_path_and_a_suggestion(domains, old, new, says):
    assert GOOD.count(old) == 1
    write(domains, GOOD.replace(old, new))
    assert refusal(domains).startswith(f"shop/domain.yml: {says}")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (
            "amount: number",
            "amount: money",
            "files.events.columns.amount.type: Input should be 'text'",
        ),
        ("{id: text, amount: number}", "{}", "files.events.columns: .* at least 1 item"),
        ("path: events/*", "path: /data/*", "files.events.path: .*pattern"),
        ("path: events/*", "path: ''", "files.events.path: .*pattern"),
        ("agg: sum, column: amount", "agg: sum", "vars.measures.0: .*a sum or an avg needs one"),
        ("agg: count", "agg: count, column: amount", "vars.measures.1: a count takes no column"),
        ("agg: count", "agg: median", "vars.measures.1.agg: Input should be 'count', 'sum' or"),
        ("name: looks", "name: Looks", "vars.measures.1.name: .*pattern"),
        ("name: looks", "name: spend", "vars: the name 'spend' is taken already"),
        ("name: look_rate", "name: spend", "vars: the name 'spend' is taken already"),
        ("name: looks", "name: events", "vars: the name 'events' is taken already"),
        (
            "  ratios:",
            "  model_attributes: [plam]\n  ratios:",
            "vars: model_attributes names 'plam', which is no attribute .did you mean 'plan'",
        ),
        (
            "  ratios:",
            "  actions: {looked: Show more.}\n  ratios:",
            "vars: actions names 'looked', which is no reason .did you mean 'looks'..; "
            "possible are silence, tenure, spend, looks, price, look_rate, plan .line 6.",
        ),
        ("agg: count}", "agg: count, unit: EUR}", "vars.measures.1: a count takes no unit"),
        ("name: looks", "name: silence", "vars: the name 'silence' is taken already"),
        ("attributes: [plan]", "attributes: [owner]", "vars: attributes: 'owner' is a column of"),
        ("vars:", "vars:\n  verb: [buy]", "vars.verb: .*at least 2 items"),
        ("part: looks", "part: lookz", "vars: ratio 'look_rate' names 'lookz', which is not"),
        ("part: looks", "part: price", "vars: ratio 'look_rate' names 'price', which is not"),
        (
            "event_type: look,",
            "event_type: lok,",
            "vars: measure 'looks' looks at 'lok', which is no event type .did you mean 'look'",
        ),
        (
            "  event_types: {buy: {is_activity: true}, look: {is_activity: false}}\n",
            "",
            "vars: measure 'spend' looks at 'buy', which is no event type",
        ),
        ("vars:", "vars:\n  churn_horizon_days: 0", "vars.churn_horizon_days: .*greater than"),
        ("vars:", "vars:\n  churn_horizon_days: a month", "vars.churn_horizon_days: .*integer"),
        ("vars:", "vars:\n  unknown_days: [2026-02-01..]", "vars.unknown_days: .* has no end"),
        ("vars:", "vars:\n  exclude: {staff: 4711}", "vars.exclude: staff: 4711 is neither"),
        ("amount: number", "amount: {type: date, format: '%Q'}", "files.events.columns.amount"),
        ("vars:", "vars:\n  feature_windows_days: [7]", "vars.feature_windows_days: .*at least 2"),
        ("vars:", "vars:\n  feature_windows_days: [30, 7]", "vars: feature_windows_days must rise"),
        ("vars:", "vars:\n  feature_windows_days: [7, 7]", "vars: feature_windows_days must rise"),
    ],
)
def test_invalid_value_is_named_with_its_path(domains, old, new, says):
    assert old in GOOD
    write(domains, GOOD.replace(old, new, 1))
    assert re.match(f"shop/domain.yml: {says}", refusal(domains))


@pytest.mark.parametrize(
    ("old", "new", "key", "lines"),
    [
        ("vars:", "vars: {attributes: [country]}\nvars:", "vars", (6, 7)),
        ("  ratios:", "  attributes: []\n  ratios:", "attributes", (8, 14)),
        ("agg: count}", "agg: count, name: views}", "name", (12, 12)),
        ("amount: number}", "amount: text, 'amount': number}", "amount", (5, 5)),
    ],
)
def test_duplicate_key_is_named_with_both_lines(domains, old, new, key, lines):
    """YAML would use the last one and silently drop the first."""
    assert old in GOOD
    write(domains, GOOD.replace(old, new, 1))
    both = f"in lines {lines[0]} and {lines[1]}"
    assert refusal(domains).startswith(f"shop/domain.yml: the key {key!r} is given twice, {both}.")


def test_model_may_learn_from_all_attributes_unless_the_domain_says_which(domains):
    for said, expected in (("", ["plan", "country"]), ("[country]", ["country"]), ("[]", [])):
        key = f"\n  model_attributes: {said}" if said else ""
        write(domains, GOOD.replace("attributes: [plan]", f"attributes: [plan, country]{key}"))
        settings = load(domains).vars
        assert settings.attributes == ["plan", "country"]
        assert settings.learned_attributes == expected


def test_key_from_a_yaml_anchor_may_be_overridden(domains):
    anchored = GOOD.replace("- {name: looks,", "- &looks {name: looks,", 1)
    write(domains, anchored.replace("  ratios:", "    - {<<: *looks, name: views}\n  ratios:", 1))
    assert [m.name for m in load(domains).vars.measures][-1] == "views"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "files: Field required"),
        ("- a\n- list\n", "files: Field required"),
        ("files: {}\n", "files.events: Field required"),
        (GOOD[: GOOD.index("vars:")] + "vars:\n", "vars: Input should be a valid dictionary"),
        ("files:\n\tevents: 1\n", "is not YAML: .*line 2, column 1"),
        ("files: [\n", "is not YAML: .*line 2"),
        (GOOD + "  first_day: 2026-02-30\n", "cannot be read: day is out of range"),
        ("files: &a {events: *a}\n", "cannot be read: maximum recursion"),
        (GOOD.encode("utf-16"), "is not UTF-8 text"),
        (GOOD.encode() + b"# caf\xe9\n", "is not UTF-8 text"),
    ],
)
def test_file_that_is_not_a_domain_is_refused(domains, text, says):
    write(domains, text)
    assert re.search(f"shop/domain.yml:? {says}", refusal(domains))


def test_a_domain_without_ingest_sql_is_refused(domains):
    (domains / "shop/ingest.sql").unlink()
    assert "shop/ingest.sql cannot be read (No such file or directory)" in refusal(domains)
