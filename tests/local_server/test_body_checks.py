"""Bodies of every shape: taken or refused, never a surprise."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_sei.local_server.body_checks import check_create, check_legacy
from airflow_provider_sei.local_server.calls import Call, RefusedCallError, Route
from airflow_provider_sei.local_server.faults import Hits
from airflow_provider_sei.local_server.organisation import OWNER
from airflow_provider_sei.local_server.settings import ServerSettings
from airflow_provider_sei.local_server.world import World
from airflow_provider_sei.protocol.families import FAMILIES

SETTINGS = ServerSettings(strict_body=False, strict_metrics=True)
# A small alphabet: to draw from all of Unicode, hypothesis first builds tables for seconds.
TEXT = st.text("ab0 -é\ud800", max_size=5)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=4,
)
DATES = JSON | st.sampled_from(["2024-01-01", "2024-02-30", "9999-12-31", "0001-01-01", "2024-01-31T00:00:00Z"])
NAMES = st.sampled_from(["456", "Engineering", "\ud800", ""])


def some(**fields: Any) -> st.SearchStrategy[dict[str, Any]]:
    """Return objects with any of these fields, each of any JSON type or of a plausible one."""
    return st.fixed_dictionaries({}, optional={name: JSON | plausible for name, plausible in fields.items()})


CREATE = some(
    scope=some(teamId=NAMES, orgTreeName=NAMES, orgIdentifier=NAMES, projectIdentifier=NAMES),
    dateRange=some(start=DATES, end=DATES),
    metricGroups=st.lists(JSON | NAMES, max_size=2),
    metrics=st.lists(JSON | NAMES, max_size=2),
    options=some(granularity=st.just("weekly"), aggregationLevel=st.just("team"), compression=st.just("gzip")),
    issueStatuses=st.lists(NAMES, max_size=2),
)
LEGACY = some(
    collectionId=NAMES,
    teamRefId=st.just(456),
    dateStart=DATES,
    dateEnd=DATES,
    granularity=st.just("weekly"),
    includeRatings=st.booleans(),
    productivity=some(metrics=st.lists(NAMES, max_size=2)),
    efficiency=some(metrics=st.lists(NAMES, max_size=2), calculationType=st.just("P90")),
    productivityContributors=some(metrics=st.lists(NAMES, max_size=2)),
)


@given(CREATE, st.sampled_from(list(FAMILIES.values())))
def test_any_create_body_is_taken_or_refused(body: dict[str, Any], family: Any) -> None:
    """Whatever the JSON, the check ends in nothing or in a refusal."""
    with contextlib.suppress(RefusedCallError):
        check_create(SETTINGS, family, body)


@given(LEGACY)
def test_any_legacy_body_is_taken_or_refused(body: dict[str, Any]) -> None:
    """The same for reports."""
    with contextlib.suppress(RefusedCallError):
        check_legacy(SETTINGS, body)


@given(some(searchKey=st.sampled_from(["name", "orgTreeName", "managerName"]), searchValue=NAMES, leafTeamsOnly=JSON))
def test_any_team_search_is_answered_or_refused(body: dict[str, Any]) -> None:
    """The same for searches."""
    call = Call(
        route=Route(operation="search_teams"),
        query=[],
        headers={"Content-Type": "application/json"},
        body=json.dumps(body).encode(),
        user=OWNER,
    )
    with contextlib.suppress(RefusedCallError):
        World(ServerSettings()).service.answer(call, Hits([]))


@given(NAMES, st.lists(NAMES, max_size=2), st.sampled_from(["2024-01-01", "2200-12-31", "1970-01-01"]))
def test_whatever_is_taken_has_a_file(team: str, statuses: list[str], day: str) -> None:
    """Odd characters and the ends of the calendar included."""
    body = {"scope": {"teamId": team}, "dateRange": {"start": day, "end": day}, "issueStatuses": statuses}
    family = FAMILIES["ticket-data"]
    world = World(ServerSettings(seconds_to_complete=0))
    with contextlib.suppress(RefusedCallError):
        check_create(world.settings, family, body)
        export, _ = world.store.create(family, body, OWNER, None)
        assert len(world.store.file(export)) > 0
