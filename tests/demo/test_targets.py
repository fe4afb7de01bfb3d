"""What the demo exports from: the local server, or the account that the environment names; and the examples."""

from __future__ import annotations

import json
import re
from datetime import date
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from airflow_provider_sei.local_server.running import RunningServer
from airflow_provider_sei.local_server.settings import ServerSettings
from airflow_provider_sei.operators.sei import SEILegacyReportOperator
from demo import DemoError
from demo.run import EXAMPLES, last_full_months
from demo.targets import choose_target, local_server

ACCOUNT = {
    "SEI_BASE_URL": "prod1",
    "SEI_API_KEY": "k",
    "SEI_PROJECT": "project",
    "SEI_ORG": "org",
    "SEI_TEAM_ID": "9",
}


def test_without_variables_the_local_server_is_used() -> None:
    """Nobody needs an account to try the provider. The key is the default one, which no command line needs."""
    target, settings = choose_target({"SEI_API_KEY": ""}, port=81), ServerSettings()
    assert target == local_server(81)
    connection = json.loads(target.connection)
    assert connection["host"] == f"http://127.0.0.1:81{settings.base_path}"
    assert connection["password"] == settings.api_key
    scope = {"project_identifier": settings.project, "org_identifier": settings.org}
    assert connection["extra"] == {**scope, "account_id": "demo_account"}
    assert settings.api_key not in str(target.programs)


def test_a_complete_account_is_used() -> None:
    """No local server is started, and no team but the named one, or those of the named tree, is exported."""
    target = choose_target({**ACCOUNT, "SEI_ACCOUNT": "a"}, port=1)
    assert (target.programs, target.generated()) == ({}, None)
    assert json.loads(target.connection) == {
        "conn_type": "harness_sei",
        "host": "prod1",
        "password": "k",
        "extra": {"project_identifier": "project", "org_identifier": "org", "account_id": "a"},
    }
    assert "account_id" not in choose_target(ACCOUNT, port=1).connection
    assert target.params == {"org_tree_name": None, "team_id": "9", "team_ids": ["9"]}
    target = choose_target({**ACCOUNT, "SEI_TEAM_ID": "", "SEI_ORG_TREE": "Engineering"}, port=1)
    assert target.params == {"org_tree_name": "Engineering", "team_id": None, "team_ids": []}


@pytest.mark.parametrize("missing", sorted(ACCOUNT))
def test_a_part_of_an_account_is_refused(missing: str) -> None:
    """It must not silently become a run against the local server."""
    with pytest.raises(DemoError, match=missing):
        choose_target({name: value for name, value in ACCOUNT.items() if name != missing}, port=1)


def test_the_local_servers_params_name_teams_that_it_has(sei_server: RunningServer) -> None:
    """The last one has no data."""
    params = local_server(81).params
    tree = sei_server.organisation.trees_by_name[params["org_tree_name"]]
    teams = {str(team.ref_id): team for team in tree.root.leaves()}
    assert [bool(teams[team_id].developers) for team_id in params["team_ids"]] == [True, True, True, False]
    assert params["team_id"] in teams


@pytest.mark.usefixtures("sei_connection")
def test_what_the_local_server_has_generated_is_read(sei_server: RunningServer, tmp_path: Path) -> None:
    """Bytes, records and sha256 of a legacy report are those of the body that was sent."""
    period = {"date_start": "2026-01-01", "date_end": "2026-01-31"}
    report = SEILegacyReportOperator(task_id="report", collection_id="456", destination=f"{tmp_path}/", **period)
    result = report.execute({})
    port = urlsplit(sei_server.base_url).port or 0
    assert local_server(port).generated() == {None: {(result["bytes"], result["rows"], result["sha256"])}}


@pytest.mark.parametrize(
    ("today", "months", "expected"),
    [
        (date(2026, 3, 31), 1, ("2026-02-01", "2026-02-28")),
        (date(2026, 1, 1), 3, ("2025-10-01", "2025-12-31")),
        (date(2024, 3, 1), 14, ("2023-01-01", "2024-02-29")),
    ],
)
def test_last_full_months_end_before_this_one(today: date, months: int, expected: tuple[str, str]) -> None:
    """Whatever their lengths."""
    assert tuple(last_full_months(today, months).values()) == expected


def test_every_example_exists_and_has_what_it_needs() -> None:
    """With the local server, all of them run."""
    files = (Path(__file__).parents[2] / "dags_examples").glob("*.py")
    found = set(re.findall(r'\bDAG\(\s*"(\w+)"', "".join(file.read_text() for file in files)))
    assert {example.dag_id for example in EXAMPLES} <= found
    assert all(example.needs is None or local_server(1).params[example.needs] for example in EXAMPLES)
