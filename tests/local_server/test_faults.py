"""Faults: which calls they apply to, and what each of them does."""

from __future__ import annotations

import gzip
import http.client
import threading
import zlib
from typing import Any

import pytest
import requests

from airflow_provider_sei.local_server.bodies import content_disposition
from airflow_provider_sei.local_server.faults import EFFECTS, OPERATIONS
from airflow_provider_sei.local_server.running import RunningServer


def test_nth_and_times_choose_among_the_matching_calls(api: Any, server: RunningServer) -> None:
    """By default the first one only; rejected calls do not count."""
    server.faults.add("list", "answer", status=503)
    server.faults.add("list", "answer", nth=3, times=2)
    requests.get(f"{server.base_url}/v2/insights/ba/exports", timeout=10)
    assert [api.list().status_code for _ in range(5)] == [503, 200, 500, 500, 200]


def test_a_fault_can_apply_to_one_family_export_or_operation(api: Any, server: RunningServer) -> None:
    """Other calls succeed."""
    server.faults.add("any", "answer", family="ba", times=None)
    one, other = api.created(), api.created(scope={"teamId": "123"})
    server.faults.add("status", "answer", export_id=other)
    server.faults.add("search_teams", "answer", status=404, times=None)
    assert api.create("ba").status_code == 500
    assert api.status(one).status_code == 200
    assert api.status(other).status_code == 500
    assert api.call("POST", "v2/teams/list", json={}).status_code == 404
    assert api.call("GET", "v2/teams/list", {"account": "acc"}).status_code == 200


@pytest.mark.parametrize(
    ("operation", "effect", "arguments", "word"),
    [
        ("status", "anwser", {}, "did you mean 'answer'"),
        ("download", "outcome", {}, "create"),
        ("statsu", "answer", {}, "status"),
        ("download", "cut", {"bytes": 3}, "after_bytes"),
        ("status", "answer", {"family": "sprintt"}, "did you mean 'sprint'"),
        ("status", "answer", {"nth": 0}, "nth=0"),
        ("status", "answer", {"times": 0}, "times=0"),
    ],
)
def test_a_fault_that_would_never_apply_is_rejected(
    server: RunningServer, operation: str, effect: str, arguments: dict[str, Any], word: str
) -> None:
    """The message names what is known; effects are for operations of the API only."""
    assert {name for known in EFFECTS.values() for name in known.operations} == set(OPERATIONS)
    with pytest.raises(ValueError, match=word):
        server.faults.add(operation, effect, **arguments)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 429, 500, 502, 503, 504])
def test_an_answer_without_a_body_is_the_vendors_error(api: Any, server: RunningServer, status: int) -> None:
    """In the format of the endpoint, with a Retry-After as it is given; nothing is created."""
    server.faults.add("create", "answer", status=status)
    answer = api.create()
    assert answer.status_code == answer.json()["status"] == status
    assert server.exports == []
    for value in (7, "Wed, 21 Oct 2026 07:28:00 GMT"):
        server.faults.add("list", "answer", status=status, retry_after=value)
        assert api.list().headers["Retry-After"] == str(value)


@pytest.mark.parametrize(
    ("parameters", "content_type", "start"),
    [
        ({"body": "upstream down"}, "text/plain", "upstream"),
        ({"body": {"code": 1}}, "application/json", '{"code"'),
        ({"kind": "html"}, "text/html", "<!DOCTYPE html>"),
        ({"body": "<html>", "content_type": "text/csv"}, "text/csv", "<html>"),
    ],
)
def test_an_answer_is_text_json_or_html(
    api: Any, server: RunningServer, parameters: dict[str, Any], content_type: str, start: str
) -> None:
    """Also with 200, instead of a file."""
    export_id = api.finished()
    server.faults.add("download", "answer", status=200, **parameters)
    answer = api.download(export_id)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith(content_type)
    assert answer.text.startswith(start)


def test_a_delay_comes_before_the_work(api: Any, server: RunningServer) -> None:
    """A client that times out first has created nothing."""
    server.faults.add("create", "delay", seconds=60)
    url = f"{server.base_url}/v2/insights/ba/exports"
    with pytest.raises(requests.ReadTimeout):
        api.session.post(url, params=api.identifiers, json=api.body(), timeout=(10, 0.05))
    assert server.exports == []


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        *(
            ({"status": "failed", "error": error}, "FAILED")
            for error in ("Out of memory", {"code": "E1"}, ["odd"], None)
        ),
        ({"never": True}, "PROCESSING"),
        ({"status": "archived"}, "ARCHIVED"),
    ],
)
def test_an_export_can_never_complete(api: Any, server: RunningServer, outcome: dict[str, Any], status: str) -> None:
    """It fails with an error of any kind, does not end, or ends in an undocumented status; there is no file."""
    server.faults.add("create", "outcome", **outcome)
    export_id = api.created("ba")
    server.clock.advance(10_000_000)
    answer = api.status(export_id, "ba").json()
    assert (answer["status"], answer.get("error")) == (status, outcome.get("error"))
    assert api.download(export_id, "ba").status_code == 404


def test_an_export_can_be_cancelled_or_vanish(api: Any, server: RunningServer) -> None:
    """As by another user in the vendor's UI; one that vanishes is 404, in no list, and created again."""
    export_id = api.finished()
    server.end_export(export_id, "cancelled")
    answer = api.status(export_id).json()
    assert answer["status"] == "cancelled"
    assert {"cancelledAt", "cancelledBy"} <= set(answer)
    server.reset()
    server.faults.add("create", "outcome", vanishes_after_seconds=2)
    export_id = api.created()
    assert api.status(export_id).status_code == 200
    server.clock.advance(2)
    assert api.status(export_id).status_code == 404
    assert api.list().json()["exports"] == []
    assert api.create().status_code == 202


def test_one_export_can_have_another_size_and_one_status_another_word(api: Any, server: RunningServer) -> None:
    """Other exports keep theirs, and the status of the next answer is right again."""
    server.faults.add("create", "outcome", file_bytes=200_000)
    large, small = api.finished(), api.finished(scope={"teamId": "123"})
    assert len(api.download(large).content) == 200_000
    assert len(api.download(small).content) < 100_000
    server.faults.add("status", "status_word", word="queued", nth=2)
    assert [api.status(small).json()["status"] for _ in range(3)] == ["completed", "queued", "completed"]


@pytest.mark.parametrize("family", ["productivity", "efficiency", "ticket-data"])
@pytest.mark.parametrize(
    ("form", "url"),
    [
        ("absolute", "{origin}{base}{path}"),
        ("both", "{origin}{base}{path}{query}"),
        ("with_identifiers", "{path}{query}"),
        ("foreign", "https://files.example{base}{path}"),
        ("downloadUrl", "{path}"),
        ("absent", None),
    ],
)
def test_the_download_url_has_every_form(
    api: Any, server: RunningServer, family: str, form: str, url: str | None
) -> None:
    """Absolute or relative, with identifiers or without, of this server or another, or absent."""
    export_id = api.finished(family)
    server.faults.add("status", "download_url", form=form)
    answer = api.status(export_id, family).json()
    shown = answer.get("download", {}).get("url") or answer.get("downloadUrl")
    path = f"/v2/insights/{family}/exports/{export_id}/download"
    parts = {"origin": server.origin, "base": "/prod1/sei/api", "path": path}
    query = "?projectIdentifier=demo_project&orgIdentifier=default"
    assert shown == (url and url.format(**parts, query=query))


def test_size_id_and_fields_of_an_answer_can_be_wrong(api: Any, server: RunningServer) -> None:
    """The file is not; a field that is set to null is left out."""
    server.faults.add("create", "export_id")
    assert "exportId" not in api.create().json()
    export_id = api.finished(scope={"teamId": "123"})
    server.faults.add("status", "size_bytes", delta=-10)
    server.faults.add("status", "fields", changes={"status": None, "exportId": "exp_other"})
    answer = api.status(export_id).json()
    assert answer["download"]["sizeBytes"] == len(api.download(export_id).content) - 10
    assert answer["exportId"] == "exp_other"
    assert "status" not in answer


@pytest.mark.parametrize(
    "name", ["../../nowhere/sei.csv", "a\r\nX-Injected: yes.csv", "平台\0.csv", 'a"b";x=.csv', ".."]
)
def test_files_can_have_hostile_names(api: Any, server: RunningServer, name: str) -> None:
    """In the status as they are, in the header as far as HTTP allows."""
    export_id = api.finished()
    server.faults.add("any", "filename", name=name, times=None)
    assert api.status(export_id).json()["download"]["filename"] == name
    answer = api.download(export_id)
    assert answer.headers["Content-Disposition"] == content_disposition(name)
    assert "X-Injected" not in answer.headers


def test_a_file_can_be_empty_with_a_name_in_the_rfc_5987_form(api: Any, server: RunningServer) -> None:
    """Several faults apply to one call."""
    export_id = api.finished()
    server.faults.add("download", "empty")
    server.faults.add("download", "filename", name="a/ö.csv", rfc5987=True)
    headers = api.download(export_id).headers
    assert headers["Content-Length"] == "0"
    assert headers["Content-Disposition"] == "attachment; filename*=UTF-8''a%2F%C3%B6.csv"


@pytest.mark.parametrize("asked", ["gzip", "plain"])
def test_a_file_can_contradict_its_name(api: Any, server: RunningServer, asked: str) -> None:
    """Plain text called .csv.gz, and gzip called .csv."""
    export_id = api.finished(options={"compression": "gzip"} if asked == "gzip" else {})
    server.faults.add("download", "mislabel")
    answer = api.download(export_id)
    assert (".csv.gz" in answer.headers["Content-Disposition"]) == (asked == "gzip")
    assert (answer.content[:2] == b"\x1f\x8b") == (asked == "plain")


def test_a_gzip_file_can_have_members_damage_and_any_size(api: Any, server: RunningServer) -> None:
    """Together members are the CSV; a damaged file has its Content-Length; a gigabyte of zeros takes a megabyte."""
    export_id = api.finished()
    server.faults.add("download", "multi_member", members=3)
    content = api.download(export_id).content
    assert 0 < len(zlib.decompressobj(31).decompress(content)) < len(server.exports[0].csv)
    assert gzip.decompress(content) == server.exports[0].csv
    for where in ("data", "trailer"):
        server.faults.add("download", "corrupt_gzip", where=where)
        with pytest.raises((EOFError, OSError, zlib.error)):
            gzip.decompress(api.download(export_id).content)
    server.faults.add("download", "bomb", expanded_bytes=1 << 30)
    content = api.download(export_id).content
    assert len(content) < 4 << 20
    assert int.from_bytes(content[-4:], "little") == 1 << 30


@pytest.mark.parametrize(
    ("shape", "key"),
    [("bare", None), ("_metadata", "exports"), ("other_key", "data"), ("no_pagination", "exports")],
)
def test_a_list_can_have_other_shapes(api: Any, server: RunningServer, shape: str, key: str | None) -> None:
    """With the same entries."""
    export_id = api.created()
    server.faults.add("list", "shape", shape=shape)
    answer = api.list().json()
    assert [item["exportId"] for item in (answer[key] if key else answer)] == [export_id]


def test_a_list_can_claim_more_pages(api: Any, server: RunningServer) -> None:
    """Repeating its first page, with empty ones, or without an end: no page is short, no entry comes twice."""
    api.created()
    for shape, entries in (("repeating", 1), ("always_more", 0)):
        server.faults.add("list", "shape", shape=shape)
        answer = api.list(page=7).json()
        assert (len(answer["exports"]), answer["pagination"]["hasMore"]) == (entries, True)
    server.faults.add("list", "shape", shape="endless", times=None)
    pages = [api.list(page=page).json()["exports"] for page in (0, 1, 1000)]
    assert len({item["exportId"] for items in pages for item in items}) == 150


@pytest.mark.parametrize(("shape", "key"), [("bare", None), ("records", "records")])
def test_team_answers_can_have_other_shapes(api: Any, server: RunningServer, shape: str, key: str | None) -> None:
    """The prose shows an array where the OpenAPI document has a tree."""
    server.faults.add("teams", "shape", shape=shape, times=None)
    answers = [
        api.call("GET", "v2/org-trees/1/teams").json(),
        api.call("POST", "v2/teams/list", json={}).json(),
        api.call("POST", "v2/org-trees/list", json={}).json(),
    ]
    hierarchy, teams, trees = [answer[key] if key else answer for answer in answers]
    leaves = {team.ref_id for team in server.organisation.trees[0].root.leaves()}
    assert {team["refId"] for team in hierarchy if team["leaf"]} == leaves
    assert (len(teams), len(trees)) == (9, 2)


def raw(api: Any, path: str) -> tuple[http.client.HTTPResponse, bytes]:
    """Return an answer and the bytes before its end, by a client that accepts broken ones."""
    address = api.server.origin.removeprefix("http://")
    connection = http.client.HTTPConnection(address, timeout=10)
    query = "&".join(f"{key}={value}" for key, value in api.identifiers.items())
    headers = {"authorization": f"ApiKey {api.server.api_key}"}
    connection.request("GET", f"{api.server.settings.base_path}/{path}?{query}", headers=headers)
    response = connection.getresponse()
    try:
        body = response.read()
    except http.client.IncompleteRead as error:
        body = error.partial
    connection.close()
    return response, body


@pytest.mark.parametrize("delta", [1000, -7, None])
def test_the_content_length_can_be_wrong(api: Any, server: RunningServer, delta: int | None) -> None:
    """Too long looks like a cut; too short loses the end without an error; without one, the body comes in chunks."""
    export_id = api.finished()
    server.faults.add("download", "content_length", delta=delta)
    response, body = raw(api, f"v2/insights/productivity/exports/{export_id}/download")
    csv = server.exports[0].csv
    assert response.headers["Content-Length"] == (str(len(csv) + delta) if delta else None)
    assert body == (csv[:delta] if delta == -7 else csv)


def test_a_stalled_body_does_not_keep_the_server_from_stopping() -> None:
    """Leaving the context ends what is still being sent."""
    with RunningServer() as server:
        server.faults.add("list", "stall")
        headers, done = {"authorization": f"ApiKey {server.api_key}"}, threading.Event()
        query = {"projectIdentifier": server.project, "orgIdentifier": server.org}
        url = f"{server.base_url}/v2/insights/ba/exports"

        def call() -> None:
            requests.get(url, headers=headers, params=query, timeout=30)
            done.set()

        thread = threading.Thread(target=call)
        thread.start()
        while not server.requests:  # a request is logged before its answer is sent
            threading.Event().wait(0.001)
    thread.join(10)
    assert done.is_set()
