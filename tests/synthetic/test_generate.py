"""The generator: repeatable, appendable, with known defects and correct probabilities."""

from datetime import date
from pathlib import Path

import duckdb
import numpy as np
import pytest

from python_jobs.errors import JobError
from python_jobs.synthetic import world
from python_jobs.synthetic.generate import _write, generate

SMALL = {"users": 300, "days": 20}
CLEAN = """
    event_id is not null
    and event_type != 'page_ping'
    and coalesce(watch_minutes, 0) >= 0
    and coalesce(quiz_score, 0) <= 100
    and event_time < timestamp '2050-01-01'
    and user_id in (select user_id from users)
"""


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*.parquet"))}


def made(folder: Path, **parameters) -> dict[str, bytes]:
    generate(folder / "raw", folder / "truth", **{**SMALL, **parameters})
    return contents(folder)


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    """Return DuckDB views over 3,000 users and 75 days, with each event's arrival day."""
    home = tmp_path_factory.mktemp("world")
    generate(home / "raw", home / "truth", users=3000, days=75)
    with duckdb.connect() as db:
        db.execute(f"""
            create view users as from '{home}/raw/users/*.parquet';
            create table events as
            select *, parse_filename(filename)[:10]::date as arrived_on, event_time::date as day
            from read_parquet('{home}/raw/events/*.parquet', filename = true);
            create table clean as select distinct on (event_id) * from events where {CLEAN};
            create view truth as from '{home}/truth/churn_probability/*.parquet';
            create view true_users as from '{home}/truth/users.parquet'
        """)
        yield db


def one(db, sql: str):
    return db.execute(sql).fetchone()[0]


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    assert made(tmp_path / "a") == made(tmp_path / "b")


def test_another_seed_gives_other_data(tmp_path):
    size = {"users": 1200, "days": 8}
    a, b = made(tmp_path / "a", **size), made(tmp_path / "b", seed=8, **size)
    assert a.keys() == b.keys()
    assert all(a[name] != b[name] for name in a)


def test_failed_write_keeps_the_old_file_and_leaves_no_temporary_file(tmp_path):
    path = tmp_path / "raw/events/2025-01-01.parquet"
    before = made(tmp_path)
    with duckdb.connect() as db, pytest.raises(duckdb.Error):
        _write(db, "select error('disk full') as x from rows", {"n": np.arange(3)}, path)
    assert contents(tmp_path) == before
    assert sorted(p.name for p in (tmp_path / "raw").iterdir()) == ["events", "users"]


def test_appending_days_gives_the_same_bytes_as_one_longer_run(tmp_path):
    longer = made(tmp_path / "at_once", days=23)
    made(tmp_path / "in_steps", days=20)
    made(tmp_path / "in_steps", days=1, append=True)
    assert made(tmp_path / "in_steps", days=2, append=True) == longer


def test_files_are_written_per_day_and_hidden_truth_separately(tmp_path):
    made(tmp_path, start=date(2025, 3, 1))
    days = [f"2025-03-{day:02}.parquet" for day in range(1, 21)]
    for kind in ("users", "events"):
        assert sorted(p.name for p in (tmp_path / "raw" / kind).iterdir()) == days
    assert sorted(p.name for p in (tmp_path / "raw").iterdir()) == ["events", "users"]
    sundays = ["2025-03-02.parquet", "2025-03-09.parquet", "2025-03-16.parquet"]
    assert sorted(p.name for p in (tmp_path / "truth/churn_probability").iterdir()) == sundays


def test_a_rerun_writes_nothing_even_after_an_append(tmp_path):
    raw, truth = tmp_path / "raw", tmp_path / "truth"
    first = generate(raw, truth, **SMALL)
    assert len(first.files) == 40
    generate(raw, truth, days=1, append=True)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    again = generate(raw, truth, **SMALL)
    assert again.files == ()
    assert again.last_day == date(2025, 1, 21)
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before


def test_missing_file_is_written_again(tmp_path):
    before = made(tmp_path)
    (tmp_path / "raw/events/2025-01-05.parquet").unlink()
    assert made(tmp_path) == before


def test_an_interrupted_run_can_be_run_again(tmp_path):
    def interrupt(done, _):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        made(tmp_path / "a", progress=interrupt)
    with pytest.raises(JobError, match="no finished world"):
        made(tmp_path / "a", append=True)
    assert made(tmp_path / "a") == made(tmp_path / "b")


@pytest.mark.parametrize(
    "other", [{"users": 301}, {"days": 21}, {"seed": 8}, {"start": date(2025, 1, 2)}]
)
def test_other_parameters_are_refused_and_change_nothing(tmp_path, other):
    before = made(tmp_path)
    with pytest.raises(JobError, match="already holds a world of users 300, days 20"):
        made(tmp_path, **other)
    assert contents(tmp_path) == before


def test_folder_with_foreign_files_is_refused(tmp_path):
    (tmp_path / "raw/events").mkdir(parents=True)
    (tmp_path / "raw/events/mine.csv").write_text("event_id\n")
    with pytest.raises(JobError, match="not generated together"):
        made(tmp_path)


def test_appending_needs_existing_data(tmp_path):
    with pytest.raises(JobError, match="no finished world"):
        made(tmp_path, append=True)


@pytest.mark.parametrize("wrong", [{"users": 0}, {"days": 0}, {"seed": -1}])
def test_impossible_numbers_are_refused(tmp_path, wrong):
    with pytest.raises(JobError, match="needs users and days above 0"):
        made(tmp_path, **wrong)


def test_progress_counts_only_the_days_of_this_run(tmp_path):
    seen = []
    made(tmp_path, days=2)
    made(tmp_path, days=3, append=True, progress=lambda *at: seen.append(at))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_reported_counts_match_the_files(tmp_path):
    result = generate(tmp_path / "raw", tmp_path / "truth", users=500, days=30)
    assert (result.first_day, result.last_day) == (date(2025, 1, 1), date(2025, 1, 30))
    with duckdb.connect() as db:
        users = f"select count(distinct user_id) from '{tmp_path}/raw/users/*.parquet'"
        assert result.users == one(db, users)
        assert result.events == one(db, f"select count(*) from '{tmp_path}/raw/events/*.parquet'")


def test_all_users_have_signed_up_by_day_120(tmp_path):
    assert generate(tmp_path / "raw", tmp_path / "truth", users=50, days=120).users == 50


def test_about_two_events_per_user_and_day(lake):
    per_user_day = one(lake, "select count(*) / 75 from events") / one(
        lake, "select count(distinct user_id) from users"
    )
    assert 1.5 < per_user_day < 3


@pytest.mark.parametrize(
    ("what", "of", "share"),
    [
        ("arrived_on > day", CLEAN, 0.04),
        ("event_id is null", "true", 0.01),
        ("event_type = 'page_ping'", "true", 0.01),
        ("event_time > timestamp '2060-01-01'", "true", 0.01),
        ("user_id not in (select user_id from users)", "true", 0.01),
        ("watch_minutes < 0", "event_type = 'video_watch'", 0.01),
        ("quiz_score > 100", "event_type = 'quiz_attempt'", 0.01),
    ],
)
def test_shares_of_late_and_broken_rows_are_as_documented(lake, what, of, share):
    seen = one(lake, f"select count(*) filter ({what}) / count(*) from events where {of}")
    assert seen == pytest.approx(share, rel=0.25)


def test_one_event_in_a_hundred_is_repeated_unchanged(lake):
    rows, ids, contents = lake.execute("""
        select count(*), count(distinct event_id),
            count(distinct (event_id, user_id, event_time, event_type, course_id,
                            watch_minutes, quiz_score, amount))
        from events where event_id is not null
    """).fetchone()
    assert (rows - ids) / rows == pytest.approx(0.01, rel=0.1)
    assert contents == ids
    later = "select count(*) from events group by event_id having count(distinct arrived_on) > 1"
    assert one(lake, f"select count(*) from ({later})") > (rows - ids) / 2


def test_valid_events_lie_between_signup_and_arrival(lake):
    wrong = """
        select count(*) from clean join users using (user_id)
        where day < signup_date::date or day > arrived_on or arrived_on > day + 5
    """
    assert one(lake, wrong) == 0


def test_ids_are_padded_and_rise_with_time(lake):
    assert one(lake, "select bool_and(regexp_full_match(event_id, 'e[0-9]{12}')) from clean")
    assert one(lake, "select bool_and(regexp_full_match(user_id, 'u[0-9]{7}')) from users")
    minute = "date_trunc('minute', event_time)"
    falls = f"select {minute} < lag({minute}) over (order by event_id) as falls from clean"
    assert one(lake, f"select count(*) from ({falls}) where falls") == 0


def test_value_columns_are_filled_only_where_they_apply(lake):
    wrong = """
        select count(*) from clean
        where (watch_minutes is not null) != (event_type = 'video_watch')
            or (quiz_score is not null) != (event_type = 'quiz_attempt')
            or (amount is not null) != (event_type in ('payment_success', 'payment_failed'))
            or (course_id is not null)
                != (event_type in ('course_enroll', 'video_watch', 'quiz_attempt'))
            or watch_minutes != round(watch_minutes, 1) or quiz_score != round(quiz_score, 1)
            or amount <= 0
    """
    assert one(lake, wrong) == 0


def test_users_are_written_on_signup_and_on_plan_changes(lake):
    rows = lake.execute("select user_id, count(*), count(distinct plan) from users group by 1")
    counts = np.array([row[1:] for row in rows.fetchall()])
    assert (counts[:, 0] > 1).any()
    assert (counts[counts[:, 0] == 2, 1] == 2).all()


def test_nobody_is_active_after_the_true_churn_date(lake):
    active = """
        select count(*) from clean join true_users using (user_id)
        where event_type in ('login', 'course_enroll', 'video_watch', 'quiz_attempt')
            and day >= churn_date
    """
    assert one(lake, active) == 0
    assert (
        one(
            lake,
            "select count(distinct churn_kind) from true_users where churn_date < '2025-03-16'",
        )
        == 2
    )


def test_the_true_probability_agrees_with_what_happened(lake):
    labels = lake.execute("""
        select churn_probability, not exists (
            from clean
            where clean.user_id = truth.user_id and day > as_of_date and day <= as_of_date + 30
                and event_type in ('login', 'course_enroll', 'video_watch', 'quiz_attempt'))
        from truth
        where as_of_date in ('2025-01-05', '2025-02-09')  -- windows that do not overlap
    """).fetchnumpy()
    probability, churned = labels.values()
    for low, high in [(0, 0.01), (0.01, 0.1), (0.1, 0.5), (0.5, 0.9), (0.9, 1.1), (0, 1.1)]:
        inside = (low <= probability) & (probability < high)
        expected, seen = probability[inside].sum(), churned[inside].sum()
        spread = np.sqrt((probability[inside] * (1 - probability[inside])).sum())
        assert inside.sum() > 20
        assert abs(seen - expected) < 4 * spread + 1


@pytest.mark.parametrize("mood", [world.CONTENT, world.SOUR, world.FADING, world.STOPPED])
def test_the_true_probability_agrees_with_simulation(mood):
    """For each mood, simulates thirty days of many users who rarely visit."""
    n, day, rng = 40_000, 20_000, np.random.default_rng(5)
    people = world.newcomers(np.full(n, day - 10), rng)
    people.rate *= 0.1
    people.mood[:] = mood
    if mood >= world.FADING:
        people.churn_day[:] = day + rng.integers(-3, people.fade_days) * (mood == world.FADING)
    expected = world.churn_probability(people, day).mean()
    silent = np.ones(n, bool)
    for later in range(day + 1, day + 31):
        world.advance(people, later, rng)
        silent &= rng.poisson(world.session_rate(people, later)) == 0
    assert silent.mean() == pytest.approx(expected, abs=4 * 0.5 / np.sqrt(n))
