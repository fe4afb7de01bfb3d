"""Names that users and Airflow rely on."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

import airflow_provider_sei
from airflow_provider_sei.get_provider_info import get_provider_info

OPERATORS = ("CreateExport", "DownloadExport", "Export", "ExportSummary", "LegacyReport", "ListExports", "ListTeams")
PUBLIC = {
    "airflow_provider_sei.hooks.sei": {"SEIHook"},
    "airflow_provider_sei.operators.sei": {f"SEI{name}Operator" for name in (*OPERATORS, "ReferenceData")},
    "airflow_provider_sei.sensors.sei": {"SEIExportSensor"},
    "airflow_provider_sei.triggers.sei": {"SEIExportTrigger"},
    "airflow_provider_sei.triggers.watcher": {"SEIExportCompletedTrigger"},
    "airflow_provider_sei.task_groups": {"SEITeamExportsTaskGroup"},
    "airflow_provider_sei.pytest_plugin": {"run_dag", "sei_connection", "sei_server"},
}


@pytest.mark.parametrize(("module", "names"), PUBLIC.items())
def test_public_names_are_importable(module: str, names: set[str]) -> None:
    """A move would break users' DAGs."""
    assert names <= set(vars(importlib.import_module(module)))


def test_the_provider_info_lists_these_modules() -> None:
    """And the hook of the connection type."""
    info = get_provider_info()
    kinds = ("hooks", "operators", "sensors", "triggers")
    listed = {name for kind in kinds for entry in info[kind] for name in entry["python-modules"]}
    # Provider metadata has no place for the other two.
    assert listed == set(PUBLIC) - {"airflow_provider_sei.task_groups", "airflow_provider_sei.pytest_plugin"}
    [connection_type] = info["connection-types"]
    module, _, name = connection_type["hook-class-name"].rpartition(".")
    hook = getattr(importlib.import_module(module), name)
    assert (hook.conn_type, hook.hook_name) == (connection_type["connection-type"], connection_type["hook-name"])
    found = (hook.conn_type, hook.conn_name_attr, hook.default_conn_name)
    assert found == ("harness_sei", "sei_conn_id", "sei_default")


def test_every_exported_name_exists() -> None:
    """Once, in ``__all__``."""
    modules = [found.name for found in pkgutil.walk_packages(airflow_provider_sei.__path__, "airflow_provider_sei.")]
    assert len(modules) > 40
    for module in modules:
        loaded = module.endswith("__main__") or importlib.import_module(module)
        names = list(getattr(loaded, "__all__", ()))
        assert len(names) == len(set(names)), module
        assert [name for name in names if not hasattr(loaded, name)] == [], module
