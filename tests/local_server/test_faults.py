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
    """The message names what is known."""
    with pytest.raises(ValueError, match=word):
        server.faults.add(operation, effect, **arguments)


def test_effects_apply_to_calls_that_exist() -> None:
    """The table names operations of the API only."""
    assert {name for effect in EFFECTS.values() for name in effect.operations} == set(OPERATIONS)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 429, 500, 502, 503, 504])
def test_an_answer_without_a_body_is_the_vendors_error(api: Any, server: RunningServer, status: int) -> None:
    """In the format of the endpoint; nothing is created."""
    server.faults.add("create", "answer", status=status)
    answer = api.create()
    assert answer.status_code == answer.json()["status"] == status
    assert server.exports == []


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


@pytest.mark.parametrize("value", [7, "Wed, 21 Oct 2026 07:28:00 GMT"])
def test_retry_after_is_seconds_or_a_date(api: Any, server: RunningServer, value: object) -> None:
    """It is sent as given."""
    server.faults.add("list", "answer", status=429, retry_after=value)
    assert api.list().headers["Retry-After"] == str(value)


def test_a_redirect_leads_to_another_url_or_back(api: Any, server: RunningServer) -> None:
    """Without a target, to the same URL."""
    export_id = api.finished()
    server.faults.add("download", "redirect", to="https://files.example/x", status=307)
    server.faults.add("download", "redirect", nth=2)
    away, back = api.download(export_id), api.download(export_id)
    assert (away.status_code, away.headers["Location"]) == (307, "https://files.example/x")
    assert api.session.get(back.headers["Location"], timeout=10).content == server.exports[0].csv


@pytest.mark.parametrize("after_work", [False, True])
def test_a_connection_can_close_without_an_answer(api: Any, server: RunningServer, *, after_work: bool) -> None:
    """Before the work or after it, when a repeated request gets the export that exists."""
    server.faults.add("create", "close", after_work=after_work)
    with pytest.raises(requests.ConnectionError):
        api.create()
    assert server.requests[-1].status is None
    assert len(server.exports) == int(after_work)
    assert api.create().status_code == (200 if after_work else 202)


def test_a_delay_comes_before_the_work(api: Any, server: RunningServer) -> None:
    """A client that times out first has created nothing."""
    server.faults.add("create", "delay", seconds=60)
    url = f"{server.base_url}/v2/insights/ba/exports"
    with pytest.raises(requests.ReadTimeout):
        api.session.post(url, params=api.identifiers, json=api.body(), timeout=(10, 0.05))
    assert server.exports == []


@pytest.mark.parametrize("error", ["Out of memory", {"code": "E1", "message": "m"}, ["odd"], None])
def test_an_export_can_fail_with_any_kind_of_error(api: Any, server: RunningServer, error: Any) -> None:
    """Text, an object, another value, or none."""
    server.faults.add("create", "outcome", status="failed", error=error)
    answer = api.status(api.finished("ba"), "ba").json()
    assert answer["status"] == "FAILED"
    assert answer.get("error") == error


def test_an_export_can_be_cancelled(api: Any, server: RunningServer) -> None:
    """As by another user in the vendor's UI."""
    export_id = api.finished()
    server.end_export(export_id, "cancelled")
    answer = api.status(export_id).json()
    assert answer["status"] == "cancelled"
    assert {"cancelledAt", "cancelledBy"} <= set(answer)


def test_an_export_can_vanish(api: Any, server: RunningServer) -> None:
    """Then it is 404, in no list, and created again."""
    server.faults.add("create", "outcome", vanishes_after_seconds=2)
    export_id = api.created()
    assert api.status(export_id).status_code == 200
    server.clock.advance(2)
    assert api.status(export_id).status_code == 404
    assert api.list().json()["exports"] == []
    assert api.create().status_code == 202


@pytest.mark.parametrize(("outcome", "status"), [({"never": True}, "processing"), ({"status": "archived"}, "archived")])
def test_an_export_can_never_complete(api: Any, server: RunningServer, outcome: dict[str, Any], status: str) -> None:
    """Because it does not end, or ends in an undocumented status; there is no file."""
    server.faults.add("create", "outcome", **outcome)
    export_id = api.created()
    server.clock.advance(10_000_000)
    assert api.status(export_id).json()["status"] == status
    assert api.download(export_id).status_code == 404


def test_one_export_can_have_another_size(api: Any, server: RunningServer) -> None:
    """Other exports keep theirs."""
    server.faults.add("create", "outcome", file_bytes=200_000)
    large, small = api.finished(), api.finished(scope={"teamId": "123"})
    assert len(api.download(large).content) == 200_000
    assert len(api.download(small).content) < 100_000


def test_a_status_can_go_backwards(api: Any, server: RunningServer) -> None:
    """For one answer."""
    export_id = api.finished()
    server.faults.add("status", "status_word", word="queued", nth=2)
    assert [api.status(export_id).json()["status"] for _ in range(3)] == ["completed", "queued", "completed"]


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


def test_a_gzip_file_can_have_members(api: Any, server: RunningServer) -> None:
    """Together they are the CSV."""
    export_id = api.finished()
    server.faults.add("download", "multi_member", members=3)
    content = api.download(export_id).content
    first = zlib.decompressobj(31)
    assert 0 < len(first.decompress(content)) < len(server.exports[0].csv)
    assert gzip.decompress(content) == server.exports[0].csv


@pytest.mark.parametrize("where", ["data", "trailer"])
def test_a_gzip_file_can_be_damaged(api: Any, server: RunningServer, where: str) -> None:
    """With a correct Content-Length."""
    export_id = api.finished()
    server.faults.add("download", "corrupt_gzip", where=where)
    with pytest.raises((EOFError, OSError, zlib.error)):
        gzip.decompress(api.download(export_id).content)


@pytest.mark.parametrize("of", ["plain", "gzip"])
def test_a_file_can_be_content_encoded(api: Any, server: RunningServer, of: str) -> None:
    """Once the client has decoded it, it is the CSV, or a gzip file of it."""
    export_id = api.finished()
    server.faults.add("download", "content_encoding", of=of)
    content = api.download(export_id).content
    assert (gzip.decompress(content) if of == "gzip" else content) == server.exports[0].csv


def test_a_small_file_can_unpack_to_a_huge_one(api: Any, server: RunningServer) -> None:
    """A gigabyte of zeros in about a megabyte."""
    export_id = api.finished()
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


def test_a_list_can_be_endless(api: Any, server: RunningServer) -> None:
    """No page is short, no entry comes twice."""
    server.faults.add("list", "shape", shape="endless", times=None)
    pages = [api.list(page=page).json()["exports"] for page in (0, 1, 1000)]
    assert len({item["exportId"] for items in pages for item in items}) == 150


@pytest.mark.parametrize(("shape", "entries"), [("repeating", 1), ("always_more", 0)])
def test_a_list_can_claim_more_pages(api: Any, server: RunningServer, shape: str, entries: int) -> None:
    """Repeating its first page, or with empty ones."""
    api.created()
    server.faults.add("list", "shape", shape=shape)
    answer = api.list(page=7).json()
    assert len(answer["exports"]) == entries
    assert answer["pagination"]["hasMore"] is True


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


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("after", [0, 1, 500])
def test_a_body_can_be_cut(api: Any, server: RunningServer, after: int, *, reset: bool) -> None:
    """After a Content-Length of the whole body."""
    export_id = api.finished()
    server.faults.add("download", "cut", after_bytes=after, reset=reset)
    if reset:
        with pytest.raises(requests.RequestException):
            api.download(export_id)
        return
    response, body = raw(api, f"v2/insights/productivity/exports/{export_id}/download")
    assert response.headers["Content-Length"] == str(server.exports[0].csv_bytes)
    assert body == server.exports[0].csv[:after]


@pytest.mark.parametrize("delta", [1, 1000, -7])
def test_the_content_length_can_be_wrong(api: Any, server: RunningServer, delta: int) -> None:
    """Too long looks like a cut; too short loses the end without an error."""
    export_id = api.finished()
    server.faults.add("download", "content_length", delta=delta)
    response, body = raw(api, f"v2/insights/productivity/exports/{export_id}/download")
    csv = server.exports[0].csv
    assert int(response.headers["Content-Length"]) == len(csv) + delta
    assert body == (csv if delta > 0 else csv[:delta])


def test_a_body_can_come_without_a_length(api: Any, server: RunningServer) -> None:
    """In chunks; a cut, which may be added, leaves out the last one."""
    export_id = api.finished()
    server.faults.add("download", "content_length", delta=None, times=2)
    server.faults.add("download", "cut", after_bytes=100, nth=2)
    answer = api.download(export_id)
    assert "Content-Length" not in answer.headers
    assert answer.content == server.exports[0].csv
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        api.download(export_id)


def test_a_body_can_stall(api: Any, server: RunningServer) -> None:
    """After its first bytes."""
    export_id = api.finished()
    server.faults.add("download", "stall", after_bytes=10)
    url = f"{server.base_url}/v2/insights/productivity/exports/{export_id}/download"
    with api.session.get(url, params=api.identifiers, stream=True, timeout=(10, 0.5)) as answer:
        assert answer.raw.read(10) == server.exports[0].csv[:10]
        with pytest.raises(Exception, match="timed out"):
            answer.raw.read(1)


def test_a_body_can_drip(api: Any, server: RunningServer) -> None:
    """Piece by piece, and whole in the end."""
    export_id = api.finished()
    server.faults.add("download", "drip", chunk_bytes=500, seconds=0.001)
    assert api.download(export_id).content == server.exports[0].csv


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
