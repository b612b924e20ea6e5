"""What many rows of a list share is said once, and what sets people apart stays."""

import copy
import re

from support.running import serving
from support.versions import change_store, current, seal

from api.desk.sharing import common_action, say_once

SILENT = "Silent for 2 months; used to come {}."


def rows(*reasons: str) -> list[dict]:
    return [{"reasons": [reason, "Fewer logins."], "heading": None} for reason in reasons]


def test_rows_that_begin_alike_have_one_heading_and_say_the_rest():
    often = [SILENT.format(how) for how in ("every day", "most days", "once a week")]
    found = say_once(rows("Silent for 9 days.", *often, *["Never came."] * 4, "Never came"))
    assert [row["heading"] for row in found if row["heading"]] == [
        ("Silent for 2 months", 3),
        ("Never came", 5),
    ]
    assert found[0]["reasons"] == ["Silent for 9 days.", "Fewer logins."]
    assert [row["reasons"][0] for row in found[1:4]] == [
        "Used to come every day.",
        "Used to come most days.",
        "Used to come once a week.",
    ]
    assert all(row["reasons"] == ["Fewer logins."] for row in found[4:])


def test_few_or_scattered_rows_stay_as_they_are():
    given = rows("Never came.", "Never came.", "Silent.", "Never came.")
    given += [{"reasons": [], "heading": None}] * 3
    assert say_once(copy.deepcopy(given)) == given


def test_only_an_action_of_most_is_said_once():
    call, write = {"action": "Call."}, {"action": "Write."}
    assert common_action([call] * 3 + [write] * 2) == "Call."
    assert common_action([call] * 3 + [write] * 2 + [{"action": None}] * 2) is None
    assert common_action([call] * 2) is None and common_action([]) is None


def test_list_says_a_common_sentence_and_action_once(published_home, tmp_path):
    folder = current(published_home)
    change_store(
        folder,
        "update users set reason_1 = 'Silent for 2 months; used to come ' || tenure_days,"
        " reason_2 = null, action = 'Ring <them>.' where risk_band = 'gone'",
        "update users set action = 'Write.' where user_id = ("
        "select user_id from users where risk_band = 'gone' order by days_since_last_activity,"
        " risk_rank limit 1)",
    )
    seal(folder)
    with serving(published_home, tmp_path / "log") as server:
        text = server.get("/desk/users?band=gone").text
        assert text.count("Silent for 2 months") == text.count("Ring &lt;them&gt;.") == 1
        assert text.count("Used to come ") == len(re.findall('class="who"', text)) > 10
        assert text.count("Write.") == 1
        apart = server.get("/desk/users?tab=call").text
        assert "users</span></th>" not in apart, "people who differ are told apart"
