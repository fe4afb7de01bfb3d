"""The demo runs against the local server, or against the account that the environment names completely."""

from __future__ import annotations

import hashlib
import json
from datetime import date

import pytest
import requests

from airflow_provider_sei.local_server.running import RunningServer
from airflow_provider_sei.local_server.settings import ServerSettings
from demo.deliveries import Generated
from demo.sources import Account, LocalServer, SourceError, last_full_months, source_from

ACCOUNT = {
    "SEI_BASE_URL": "prod1",
    "SEI_API_KEY": "k",
    "SEI_PROJECT": "project",
    "SEI_ORG": "org",
    "SEI_TEAM_ID": "9",
}
TODAY = date(2026, 3, 31)


class TestSourceFrom:
    """``source_from``."""

    def test_an_empty_environment_means_the_local_server(self) -> None:
        """Nobody needs an account to try the provider."""
        assert source_from({}, port=1) == LocalServer(port=1)

    def test_a_complete_account_is_taken(self) -> None:
        """With an account no local server is started, and the connection is the account's."""
        source = source_from(ACCOUNT, port=1)
        assert source == Account(environment=ACCOUNT)
        assert source.command is None
        assert json.loads(source.connection) == {
            "conn_type": "harness_sei",
            "host": "prod1",
            "password": "k",
            "extra": {"project_identifier": "project", "org_identifier": "org"},
        }

    @pytest.mark.parametrize("missing", sorted(ACCOUNT))
    def test_a_part_of_an_account_is_refused_by_name(self, missing: str) -> None:
        """Half an account must not silently become a run against the local server."""
        with pytest.raises(SourceError, match=missing):
            source_from({name: value for name, value in ACCOUNT.items() if name != missing}, port=1)

    def test_an_org_tree_will_do_instead_of_a_team(self) -> None:
        """What is not given is sent as nothing."""
        source = source_from({**ACCOUNT, "SEI_TEAM_ID": "", "SEI_ORG_TREE": "Engineering"}, port=1)
        params = source.params(TODAY, 1)
        assert (params["team_id"], params["org_tree_name"]) == (None, "Engineering")

    @pytest.mark.parametrize(("team_id", "team_ids"), [("9", ["9"]), ("", [])])
    def test_an_account_exports_no_team_but_the_one_it_names(self, team_id: str, team_ids: list[str]) -> None:
        """An org tree may have hundreds."""
        source = source_from({**ACCOUNT, "SEI_TEAM_ID": team_id, "SEI_ORG_TREE": "Engineering"}, port=1)
        assert source.params(TODAY, 1)["team_ids"] == team_ids


@pytest.mark.parametrize(
    ("today", "months", "expected"),
    [
        (date(2026, 3, 31), 1, ("2026-02-01", "2026-02-28")),
        (date(2026, 1, 1), 3, ("2025-10-01", "2025-12-31")),
        (date(2024, 3, 1), 14, ("2023-01-01", "2024-02-29")),
    ],
)
def test_last_full_months_end_before_this_one(today: date, months: int, expected: tuple[str, str]) -> None:
    """The current month is never among them, whatever the length of months."""
    assert last_full_months(today, months) == expected


class TestLocalServer:
    """``LocalServer``."""

    def test_its_connection_fits_its_settings(self) -> None:
        """Base URL, key and identifiers are those that the server is started with."""
        settings = ServerSettings()
        connection = json.loads(LocalServer(port=81).connection)
        assert connection["host"] == f"http://127.0.0.1:81{settings.base_path}"
        assert connection["password"] == settings.api_key
        assert connection["extra"] == {"project_identifier": settings.project, "org_identifier": settings.org}

    def test_its_params_name_what_it_has(self, sei_server: RunningServer) -> None:
        """Teams of the tree, one of them without data, over as many months as asked for."""
        params = LocalServer(port=81).params(TODAY, 12)
        tree = sei_server.organisation.trees_by_name[params["org_tree_name"]]
        teams = {str(team.ref_id): team for team in tree.root.leaves()}
        assert set(params["team_ids"]) <= set(teams)
        assert [bool(teams[team_id].developers) for team_id in params["team_ids"]] == [True, True, True, False]
        assert (params["date_start"], params["date_end"]) == ("2025-03-01", "2026-02-28")

    def test_its_command_line_holds_no_key(self) -> None:
        """The key is the server's default, so that no process list shows one."""
        command = LocalServer(port=81).command or []
        assert not any(ServerSettings().api_key in argument for argument in command)

    def test_it_tells_what_it_generated(self, sei_server: RunningServer) -> None:
        """Size, sha256 and rows of a report are those of the body that was handed out."""
        body = {
            "collectionId": "456",
            "teamRefId": 456,
            "dateStart": "2026-01-01",
            "dateEnd": "2026-01-31",
            "productivity": {"metrics": []},
        }
        answer = requests.post(
            f"{sei_server.base_url}/v2/insights/teams/reports",
            params={"format": "csv"},
            json=body,
            headers={"authorization": f"ApiKey {sei_server.api_key}"},
            timeout=10,
        )
        answer.raise_for_status()
        form = (len(answer.content), hashlib.sha256(answer.content).hexdigest())
        port = int(sei_server.base_url.split("/")[2].rpartition(":")[2])
        rows = len(answer.text.splitlines()) - 1
        assert LocalServer(port=port).generated() == [Generated(export_id=None, rows=rows, forms=frozenset({form}))]
