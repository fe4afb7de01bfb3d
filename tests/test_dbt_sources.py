"""The command that prints dbt sources."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from airflow_provider_sei.dbt_sources import main
from airflow_provider_sei.protocol.families import FAMILIES
from airflow_provider_sei.protocol.metrics import metrics


@pytest.mark.parametrize("names", ["keep", "snake"])
def test_the_catalogue_is_a_source(capsys: pytest.CaptureFixture[str], names: str) -> None:
    """In the form that dbt 1.10 and newer read: each metric with its unit, and keys that are not null."""
    assert main(["--name", "a: b", "--schema", "1", "--column-names", names]) == 0
    loaded = yaml.safe_load(capsys.readouterr().out)
    [source] = loaded.pop("sources")
    assert (loaded, source["name"], source["schema"]) == ({}, "a: b", "1")
    assert [table["name"] for table in source["tables"]] == list(FAMILIES)
    for table in source["tables"]:
        keys, columns = table["columns"][:2], table["columns"][2:]
        tested = [(key["name"], key["data_tests"]) for key in keys]
        assert tested == [("period", ["not_null"]), ("team_id", ["not_null"])]
        assert all(column["description"] for column in (*keys, *columns))
        assert ("quoting" in table) == ("-" in table["name"])
        known = metrics(table["name"])
        expected = [metric.name if names == "keep" else metric.name.lower() for metric in known]
        assert [column["name"] for column in columns] == expected
        assert len({name.casefold() for name in expected}) == len(expected)
        meta: list[dict[str, Any]] = [column.get("config", {}).get("meta", {}) for column in columns]
        assert [each.get("unit", "not documented") for each in meta] == [metric.unit for metric in known]
