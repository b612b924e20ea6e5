"""doctor --domain counts as the models do."""

from datetime import UTC, datetime

from support.homes import rows

from python_jobs.ingest import domain as domains
from python_jobs.operations import domain_check
from python_jobs.settings import Settings


def test_doctor_counts_what_a_build_counts(finished_home):
    settings = Settings(home=finished_home)
    domain = domains.load("elearning", settings)
    report = domain_check.examine(settings, domain, settings.raw, now=datetime.now(UTC))
    trained_on = rows(
        finished_home,
        "select as_of_date, count(*), avg(churn_label) from training_set group by 1 order by 1",
    )
    assert report.dates == trained_on
    rejected = rows(
        finished_home,
        "select reject_reason, cast(sum(row_count) as bigint) from rejected_counts "
        "where table_name = 'events' and reject_reason <> 'duplicate_event_id' group by 1",
    )
    found = {one.reason: one.rows for one in report.rejected if one.table == "events"}
    assert found == dict(rejected)
    assert not report.problems
