"""identities: events of linked ids belong to one person, at every moment and order of arrival."""

import itertools
from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from python_jobs.ingest.identities import EVER, NEVER, by_id, moved_ids, resolve

START = datetime(2026, 1, 1)  # noqa: DTZ001 - UTC, as all raw times


def at(day: int) -> datetime:
    return START + timedelta(days=day)


def person(segments, from_id: str, moment: datetime) -> str:
    """Return whose event of an id at a moment is, by the segments."""
    found = [p for i, start, end, p in segments if i == from_id and start <= moment < end]
    assert len(found) <= 1
    return found[0] if found else from_id


def others(segments):
    """Return the segments in which an id stands for another person."""
    return [segment for segment in segments if segment[0] != segment[3]]


def test_one_link_moves_all_events_also_earlier_ones():
    assert resolve([("anon", "u1", at(5))]) == [
        ("anon", EVER, NEVER, "u1"),
        ("u1", EVER, NEVER, "u1"),
    ]


def test_a_second_link_counts_from_its_moment_on():
    links = [("device", "u2", at(9)), ("device", "u1", at(3))]
    assert others(resolve(links)) == [
        ("device", EVER, at(9), "u1"),
        ("device", at(9), NEVER, "u2"),
    ]


def test_chains_are_followed_at_the_time_of_the_event():
    links = [("a", "b", at(1)), ("b", "c", at(4)), ("b", "d", at(8))]
    assert others(resolve(links)) == [
        ("a", EVER, at(8), "c"),
        ("a", at(8), NEVER, "d"),
        ("b", EVER, at(8), "c"),
        ("b", at(8), NEVER, "d"),
    ]


def test_cycle_has_one_person_for_all_its_ids():
    links = [("c", "a", None), ("a", "b", None), ("b", "c", None), ("x", "b", None)]
    assert {(i, p) for i, _, _, p in others(resolve(links))} == {("b", "a"), ("c", "a"), ("x", "a")}


LINKS = st.lists(
    st.tuples(st.sampled_from("abcde"), st.sampled_from("abcde"), st.integers(0, 9)).filter(
        lambda link: link[0] != link[1]
    ),
    max_size=8,
)


@given(LINKS)
def test_segments_agree_with_following_links_one_by_one(drawn):
    """Every segment is one person, segments do not overlap, and nothing is left to follow."""
    links = [(a, b, at(day)) for a, b, day in drawn]
    segments = resolve(links)
    for first, second in itertools.pairwise(segments):
        assert first[0] < second[0] or (first[0] == second[0] and first[2] <= second[1])
    for moment in [at(-1), *(at(day) for day in range(11))]:
        for one in "abcde":
            assert person(segments, one, moment) == followed(links, one, moment)
            assert person(segments, person(segments, one, moment), moment) == person(
                segments, one, moment
            )


def test_new_link_of_a_shared_device_moves_only_two_users():
    links = [("device", f"u{n}", at(n)) for n in range(5)]
    assert moved(links[:4], links) == {"device", "u3", "u4"}


@given(LINKS, st.integers(0, 8))
def test_of_a_person_who_loses_or_gains_an_id_all_ids_move(drawn, known):
    links = [(a, b, at(day)) for a, b, day in drawn]
    before, after = resolve(links[:known]), resolve(links)
    changed = set()
    for moment in [at(-1), *(at(day) for day in range(11))]:
        for one in "abcde":
            was, is_now = person(before, one, moment), person(after, one, moment)
            changed |= {was, is_now} if was != is_now else set()
    of_changed = {i for i, _, _, p in [*before, *after] if p in changed}
    assert of_changed | changed <= moved(links[:known], links)


def moved(before, after) -> set[str]:
    return moved_ids(by_id(resolve(before)), by_id(resolve(after)))


def followed(links, one: str, moment: datetime) -> str:
    """Follow the links of an id as the rule says, step by step."""
    path = [one]
    while mine := [(since, n, to) for n, (i, to, since) in enumerate(links) if i == path[-1]]:
        begun = [link for link in mine if link[0] <= moment]
        if begun:
            to_id = max(begun)[2]
        else:
            first = min(link[0] for link in mine)
            to_id = max(link for link in mine if link[0] == first)[2]
        if to_id in path:
            return min(path[path.index(to_id) :])
        path.append(to_id)
    return path[-1]
