"""``SEIReferenceDataOperator``: tables that exports are joined with, whose personal data stay in the file."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_sei import exceptions
from airflow_provider_sei.operators.sei import SEIReferenceDataOperator

Deliver = Callable[..., dict[str, Any]]


@pytest.fixture
def deliver(sei_connection: str, worker_clock: Any, tmp_path: Path) -> Deliver:
    """Deliver a table into a folder."""
    assert worker_clock.pauses == []
    given = {"destination": f"{tmp_path}/", "sei_conn_id": sei_connection, "account_id": "demo_account"}
    return lambda kind, **changes: SEIReferenceDataOperator(task_id="t", kind=kind, **given | changes).execute({})


def _records(result: dict[str, Any]) -> list[list[str]]:
    with Path(result["path"]).open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file, strict=True))


@pytest.mark.parametrize(("kind", "rows"), [("developers", 40), ("identities", 80)])
def test_people_stay_in_the_file(deliver: Deliver, sei_server: Any, task_log: Any, kind: str, rows: int) -> None:
    """The server's CSV, by the Accept header; a stable name; nothing of it in the log or the result."""
    result = deliver(kind)
    assert (result["family"], result["rows"], result["export_id"], result["date_start"]) == (kind, rows, None, None)
    header, *people = _records(result)
    assert (len(people), "email" in "".join(header).casefold()) == (rows, True)
    assert deliver(kind, overwrite="skip") | {"written": True} == result
    assert Path(result["uri"]).name.startswith(f"{kind}_")
    assert "developer.456.0@company.example" in str(people)
    assert not any(word in f"{task_log.text}{result}" for word in ("company.example", "Børresen", "developer.456"))
    assert sei_server.requests[-1].path.endswith({"developers": "/v2/developers"}.get(kind, "/developers/identities"))


def test_teams_are_delivered_with_their_parents(deliver: Deliver, sei_server: Any, tmp_path: Path) -> None:
    """Of one tree or of all, in an order that does not depend on the server."""
    result = deliver("teams", layout="hive", org_tree_name="Engineering")
    assert result["uri"] == f"file://{tmp_path}/family=teams/org_tree=Engineering/teams_c9d8bf79.csv"
    header, *rows = _records(result)
    assert header[:2] == ["org_tree_id", "org_tree_name"]
    by_id = {row[2]: row[3:] for row in rows}
    for team in sei_server.organisation.trees_by_name["Engineering"].root.walk():
        name, parent, path, leaf, developers = by_id.pop(str(team.ref_id))
        assert (name, parent) == (team.name, str(team.parent_ref_id or ""))
        assert (path, leaf) == (team.path.replace(" > ", "/"), str(team.is_leaf).lower())
        assert int(developers) == sum(len(each.developers) for each in team.leaves())
    assert by_id == {}
    everything = deliver("teams")
    assert (rows, {row[1] for row in _records(everything)[1:]}) == (sorted(rows), {"Engineering", "Support"})
    for shape in ("bare", "records"):
        sei_server.faults.add("org_tree_teams", "shape", shape=shape, times=2)
        assert deliver("teams", overwrite="skip")["written"] is False


def test_a_table_that_is_only_a_first_page_is_not_published(deliver: Deliver, sei_server: Any, tmp_path: Path) -> None:
    """The pages do not say whether the CSV is paged; a server whose list has no count is believed."""
    sei_server.faults.add("developers", "fields", changes={"totalRecords": 41}, times=None)
    with pytest.raises(exceptions.SEIDownloadError, match="complete CSV file: it has 40 of 41 records"):
        deliver("developers")
    assert list(tmp_path.iterdir()) == []
    assert deliver("developers", verify_rows=False)["rows"] == 40
    sei_server.faults.clear()
    for changes in ({"totalRecords": None}, {"totalRecords": "41"}):
        sei_server.faults.add("developers", "fields", changes=changes)
        assert deliver("developers")["rows"] == 40


@pytest.mark.parametrize("body", [{"records": [{"Name": "Ada Abara"}]}, []])
def test_no_error_quotes_people(deliver: Deliver, sei_server: Any, task_log: Any, body: Any) -> None:
    """A server may send another form than was asked for."""
    sei_server.faults.add("developers", "answer", status=200, body=body, content_type="application/json", times=None)
    with pytest.raises(exceptions.SEIError) as caught:
        deliver("developers")
    assert "Ada" not in f"{caught.value}{task_log.text}"


def test_a_mistake_is_refused(deliver: Deliver, sei_server: Any) -> None:
    """When the DAG is parsed, unless it is a template; a tree that does not exist, when the task runs."""
    for arguments, words in (
        ({"kind": "people"}, "kind 'people' is not one of developers, identities, teams"),
        ({"kind": "developers", "org_tree_name": "Engineering"}, "org_tree_name is for teams only"),
        ({"kind": "teams", "verify_rows": "perhaps"}, "verify_rows must be true or false"),
    ):
        with pytest.raises(exceptions.SEIArgumentError, match=words):
            SEIReferenceDataOperator(task_id="table", destination="/x/", **arguments)
    SEIReferenceDataOperator(task_id="table", destination="/x/", kind="{{ kind }}", org_tree_name="E")
    with pytest.raises(exceptions.SEINotFoundError, match="no organisation tree called 'Enginering'; found: "):
        deliver("teams", org_tree_name="Enginering")
    sei_server.faults.add("search_org_trees", "answer", status=200, body={"records": []})
    with pytest.raises(exceptions.SEINotFoundError, match=r"there is no organisation tree$"):
        deliver("teams")
