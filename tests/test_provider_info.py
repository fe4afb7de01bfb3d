"""What Airflow reads about the package fits Airflow's own schemas and the package."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from airflow_provider_sei.get_provider_info import get_provider_info
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


def test_it_fits_the_schema_that_airflow_checks_when_it_starts() -> None:
    """Airflow refuses all providers of a machine if one does not fit this schema."""
    jsonschema.validate(get_provider_info(), schema("provider_info.schema.json"))


@pytest.mark.parametrize("key", ["connection-types", "integrations", "hooks", "operators", "sensors", "triggers"])
def test_each_part_fits_the_strict_schema_of_provider_authors(key: str) -> None:
    """The runtime schema lets anything pass; the one for provider authors knows every key."""
    jsonschema.validate(get_provider_info()[key], schema("provider.yaml.schema.json")["properties"][key])


def test_the_field_behaviour_names_real_fields() -> None:
    """Airflow drops the whole behaviour, with a warning only, if it does not fit this schema."""
    behaviour = get_provider_info()["connection-types"][0]["ui-field-behaviour"]
    as_airflow_reads_it = {key.replace("-", "_"): value for key, value in behaviour.items()}
    jsonschema.validate(as_airflow_reads_it, schema("customized_form_field_behaviours.schema.json"))


def test_the_package_name_is_the_distributions() -> None:
    """Airflow compares the two and refuses to start with an unequal pair."""
    name = get_provider_info()["package-name"]
    assert importlib.metadata.distribution(name).name == name


def test_the_entry_point_leads_to_it() -> None:
    """Airflow finds the description by the entry point."""
    points = importlib.metadata.distribution("airflow-provider-sei").entry_points
    assert [point.load() for point in points.select(group="apache_airflow_provider")] == [get_provider_info]


def test_every_module_it_names_can_be_imported() -> None:
    """Hooks, operators, sensors and triggers are where the description says."""
    info = get_provider_info()
    for key in ("hooks", "operators", "sensors", "triggers"):
        for entry in info[key]:
            assert [name for name in entry["python-modules"] if importlib.util.find_spec(name) is None] == []


def test_the_hook_agrees_about_the_connection_type(connection_type: dict[str, Any]) -> None:
    """The form belongs to the type that the hook says it is for."""
    module, _, name = connection_type["hook-class-name"].rpartition(".")
    hook = getattr(importlib.import_module(module), name)
    assert (hook.conn_type, hook.hook_name) == (connection_type["connection-type"], connection_type["hook-name"])


def test_every_field_of_the_form_may_stay_empty(connection_type: dict[str, Any]) -> None:
    """A connection that was made without the form, or with an older one, can be opened and saved in it."""
    for field in connection_type["conn-fields"].values():
        jsonschema.validate(None, field["schema"])


@pytest.mark.parametrize("name", ["calls_per_minute", "connect_timeout", "read_timeout"])
def test_the_form_tells_what_an_empty_field_means(connection_type: dict[str, Any], name: str) -> None:
    """The number in the field's help is the one that is used."""
    [told] = re.findall(r"Empty: (\d+)\.", connection_type["conn-fields"][name]["description"])
    assert float(told) == getattr(SEISettings, name)


def test_the_key_is_the_password(connection_type: dict[str, Any]) -> None:
    """The API key has a field that Airflow encrypts and masks; no extra field takes a secret."""
    assert connection_type["ui-field-behaviour"]["relabeling"]["password"] == "API key"
    assert {"api_key", "password", "token"}.isdisjoint(connection_type["conn-fields"])


def test_it_imports_nothing() -> None:
    """Every Airflow process loads this module when it starts, so it must cost next to nothing."""
    code = (
        "import sys; before = set(sys.modules); import airflow_provider_sei.get_provider_info;"
        "print(sorted({name.partition('.')[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names)))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "['airflow_provider_sei']"
