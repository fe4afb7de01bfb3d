"""Trigger arguments that another release has written to Airflow's database."""

from __future__ import annotations

import json
from unittest.mock import Mock

import pytest  # noqa: TC002 - fixtures are annotated
from airflow_provider_sei.triggers.turn import SEITurnTrigger

from airflow_provider_sei.triggers.sei import SEIExportTrigger

# As release 0.1 wrote it. Never to be changed: such arguments lie in databases.
VERSION_1 = json.loads(
    '{"family": "productivity", "export_id": "exp_7a8b9c0d", "deadline": 1767621600.0, "started_at": 1767614400.0,'
    ' "sei_conn_id": "sei_default", "poll_interval": null, "reused": false, "project_identifier": "demo_project",'
    ' "org_identifier": "default", "auth_header": null, "version": 1}'
)

TURN_VERSION_1 = json.loads(
    '{"family": "productivity", "moment": 1767614400.0, "give_up_at": 1767700800.0, "ends_at": null,'
    ' "sei_conn_id": "sei_default", "version": 1}'
)


class TestPayloads:
    """Arguments of older and of later releases."""

    def test_those_of_the_first_release_load(self) -> None:
        """A trigger that was deferred before an upgrade goes on with the same arguments."""
        assert SEIExportTrigger(**VERSION_1).serialize() == (
            "airflow_provider_sei.triggers.sei.SEIExportTrigger",
            VERSION_1,
        )

    def test_the_least_that_any_release_has_written_loads(self) -> None:
        """Whatever came later has a default."""
        least = {name: VERSION_1[name] for name in ("family", "export_id", "deadline")}
        _, written = SEIExportTrigger(**least).serialize()
        assert written == VERSION_1 | {
            "started_at": None,
            "reused": None,
            "project_identifier": None,
            "org_identifier": None,
        }

    def test_a_turn_that_was_waited_for_before_an_upgrade_goes_on(self) -> None:
        """The other trigger's arguments, and the least of them."""
        least = {name: TURN_VERSION_1[name] for name in ("family", "moment", "give_up_at")}
        for arguments in (TURN_VERSION_1, least, TURN_VERSION_1 | {"patience": 3}):
            assert SEITurnTrigger(**arguments).serialize()[1] == TURN_VERSION_1

    def test_those_of_a_later_release_load_with_a_warning(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """After a downgrade, what this release does not know is left aside, and named in the log."""
        log = Mock()
        monkeypatch.setattr(SEIExportTrigger, "log", log)
        trigger = SEIExportTrigger(**VERSION_1 | {"version": 2, "patience": 3})
        assert trigger.export_id == "exp_7a8b9c0d"
        assert "patience" in log.warning.call_args.args

    def test_they_are_json_without_secrets(self) -> None:
        """The arguments survive JSON unchanged."""
        _, written = SEIExportTrigger(**VERSION_1).serialize()
        assert json.loads(json.dumps(written)) == written
