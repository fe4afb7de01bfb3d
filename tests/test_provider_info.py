"""``get_provider_info`` against Airflow's schemas and the package."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from airflow_provider_sei.get_provider_info import get_provider_info
from airflow_provider_sei.protocol.http import HttpRequest
from airflow_provider_sei.protocol.report_request import REPORT_READ_TIMEOUT
from airflow_provider_sei.protocol.settings import SEISettings


def schema(name: str) -> dict[str, Any]:
    """Return a JSON schema of the installed Airflow."""
    spec = importlib.util.find_spec("airflow")
    assert spec is not None
    return json.loads(Path(next(iter(spec.submodule_search_locations)), name).read_text())


@pytest.fixture
def connection_type() -> dict[str, Any]:
    """The one connection type of the package."""
    [only] = get_provider_info()["connection-types"]
    return only


def test_it_is_valid_when_airflow_starts_and_for_provider_authors() -> None:
    """Airflow refuses all providers of a machine if one does not match the first; the second one knows every key."""
    info, authors = get_provider_info(), schema("provider.yaml.schema.json")["properties"]
    jsonschema.validate(info, schema("provider_info.schema.json"))
    for key in ("connection-types", "integrations", "hooks", "operators", "sensors", "triggers"):
        jsonschema.validate(info[key], authors[key])


def test_the_form_can_be_used(connection_type: dict[str, Any]) -> None:
    """If a field does not match this schema, Airflow drops all with a warning only. Every field may stay empty.

    The key is the password, which Airflow encrypts and masks; no field of the extra has a secret.
    """
    behaviour, fields = connection_type["ui-field-behaviour"], connection_type["conn-fields"]
    as_airflow_reads_it = {key.replace("-", "_"): value for key, value in behaviour.items()}
    jsonschema.validate(as_airflow_reads_it, schema("customized_form_field_behaviours.schema.json"))
    for field in fields.values():
        jsonschema.validate(None, field["schema"])
    assert behaviour["relabeling"]["password"] == "API key"
    assert {"api_key", "password", "token"}.isdisjoint(fields)


def test_the_distribution_has_the_same_name_and_the_entry_point() -> None:
    """Airflow finds it by the entry point, compares the names, and does not start if they differ."""
    found = importlib.metadata.distribution(get_provider_info()["package-name"])
    assert found.name == get_provider_info()["package-name"]
    points = found.entry_points.select(group="apache_airflow_provider")
    assert [point.load() for point in points] == [get_provider_info]


@pytest.mark.parametrize("page", ["README.md", "docs/connection.md", "pyproject.toml"])
def test_it_is_found_by_the_products_new_name(page: str) -> None:
    """Harness calls SEI "AI DLC Insights (AIDI)" now; each page says so once."""
    text = " ".join((Path(__file__).parents[1] / page).read_text("utf-8").split())
    assert text.casefold().count("ai dlc insights") == 1
    assert "aidi" in text.casefold()
    [integration] = get_provider_info()["integrations"]
    assert integration["external-doc-url"] == "https://developer.harness.io/ai-dlc-insights"


@pytest.mark.parametrize(
    ("name", "defaults"),
    [
        ("calls_per_minute", [SEISettings.calls_per_minute]),
        ("connect_timeout", [SEISettings.connect_timeout]),
        ("read_timeout", [HttpRequest.read_timeout, REPORT_READ_TIMEOUT]),
    ],
)
def test_the_form_documents_the_default(connection_type: dict[str, Any], name: str, defaults: list[float]) -> None:
    """The numbers in a field's description are those that are used."""
    description = connection_type["conn-fields"][name]["description"]
    [documented] = re.findall(r"Empty: (\d+)(?:, for legacy reports (\d+))?\.", description)
    assert [float(number) for number in documented if number] == defaults
