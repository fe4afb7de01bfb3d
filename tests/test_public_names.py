"""Names that others build on."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

import airflow_provider_sei
from airflow_provider_sei.get_provider_info import get_provider_info

PUBLIC = {
    "airflow_provider_sei.hooks.sei": {"SEIHook"},
    "airflow_provider_sei.operators.sei": {
        "SEICreateExportOperator",
        "SEIDownloadExportOperator",
        "SEIExportOperator",
        "SEIExportSummaryOperator",
        "SEILegacyReportOperator",
        "SEIListTeamsOperator",
    },
    "airflow_provider_sei.sensors.sei": {"SEIExportSensor"},
    "airflow_provider_sei.triggers.sei": {"SEIExportTrigger"},
    "airflow_provider_sei.triggers.turn": {"SEITurnTrigger"},
    "airflow_provider_sei.triggers.watcher": {"SEIExportCompletedTrigger"},
    "airflow_provider_sei.task_groups": {"SEITeamExportsTaskGroup"},
    "airflow_provider_sei.pytest_plugin": {"sei_connection", "sei_server"},
}


@pytest.mark.parametrize(("module", "names"), PUBLIC.items())
def test_they_are_where_they_are_promised(module: str, names: set[str]) -> None:
    """A move would break other people's DAGs."""
    assert names <= set(vars(importlib.import_module(module)))


def test_the_provider_info_names_the_same_modules() -> None:
    """Airflow's documentation and its look-ups go by it."""
    info = get_provider_info()
    listed = {
        name
        for kind in ("hooks", "operators", "sensors", "triggers")
        for entry in info[kind]
        for name in entry["python-modules"]
    }
    # Airflow has no place for task groups.
    assert listed == set(PUBLIC) - {"airflow_provider_sei.pytest_plugin", "airflow_provider_sei.task_groups"}
    [connection_type] = info["connection-types"]
    module, _, name = connection_type["hook-class-name"].rpartition(".")
    hook = getattr(importlib.import_module(module), name)
    assert hook.conn_type == connection_type["connection-type"] == "harness_sei"
    assert (hook.conn_name_attr, hook.default_conn_name) == ("sei_conn_id", "sei_default")


@pytest.mark.parametrize(
    "module",
    [
        found.name
        for found in pkgutil.walk_packages(airflow_provider_sei.__path__, "airflow_provider_sei.")
        if not found.name.endswith("__main__")
    ],
)
def test_every_exported_name_exists(module: str) -> None:
    """``__all__`` is sorted, without repeats, and true."""
    loaded = importlib.import_module(module)
    names = list(getattr(loaded, "__all__", ()))
    assert len(names) == len(set(names))
    assert [name for name in names if not hasattr(loaded, name)] == []
