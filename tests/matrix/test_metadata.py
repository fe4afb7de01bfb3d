"""Modules, provider metadata and connection form on every supported version."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
from packaging.version import Version

import airflow_provider_sei
from airflow_provider_sei.get_provider_info import get_provider_info

MODULES = [found.name for found in pkgutil.walk_packages(airflow_provider_sei.__path__, "airflow_provider_sei.")]
OTHERS = {f"airflow_provider_sei.{name}" for name in ("retry_policy", "local_server.__main__", "delivery.parquet")}
FORM = get_provider_info()["connection-types"][0]


@pytest.mark.parametrize("name", sorted({*MODULES} - OTHERS))
def test_every_module_can_be_imported(name: str) -> None:
    """No module uses what the version does not have or has deprecated; that for Parquet needs an extra's pyarrow."""
    assert importlib.import_module(name).__name__ == name


def test_the_retry_policy_needs_airflow_3_3(airflow_version: Version) -> None:
    """On older versions, its import is an error."""
    with nullcontext() if airflow_version >= Version("3.3") else pytest.raises(ImportError):
        importlib.import_module("airflow_provider_sei.retry_policy")


@contextmanager
def only_our_warnings() -> Iterator[None]:
    """Airflow loads all installed providers; ignore the warnings about the others."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    words = [str(warning.message) for warning in caught]
    assert [line for line in words if "SEIHook" in line or "airflow_provider_sei" in line] == []


def test_airflow_accepts_the_provider() -> None:
    """The metadata matches the version's schema, and its classes can be loaded."""
    from airflow.providers_manager import ProvidersManager

    with only_our_warnings():
        manager = ProvidersManager()
        manager.initialize_providers_extra_links()
    assert manager.providers["airflow-provider-sei"].version == airflow_provider_sei.__version__
    assert {"airflow_provider_sei.links.SEIInsightsLink"} <= set(manager.extra_links_class_names)


@pytest.fixture
def shown_form() -> tuple[str, dict[str, Any], dict[str, Any]]:
    """The form's name, its own fields by name, and its behaviour for the connection's other fields."""
    with only_our_warnings():
        return _old_form() if importlib.util.find_spec("airflow.www") else _new_form()


def _old_form() -> tuple[str, dict[str, Any], dict[str, Any]]:
    from airflow.providers_manager import ProvidersManager

    manager = ProvidersManager()
    name = manager.hooks["harness_sei"].hook_name
    fields = {
        key.removeprefix("extra__harness_sei__"): info.field
        for key, info in manager.connection_form_widgets.items()
        if key.startswith("extra__harness_sei__")
    }
    return name, fields, manager.field_behaviours["harness_sei"]


def _new_form() -> tuple[str, dict[str, Any], dict[str, Any]]:
    from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService

    [form] = [form for form in HookMetaService.hook_meta_data() if form.connection_type == "harness_sei"]
    standard = form.standard_fields.model_dump(exclude_none=True)
    behaviour = {
        "hidden_fields": [
            {"url_schema": "schema"}.get(name, name) for name, seen in standard.items() if seen["hidden"]
        ],
        "relabeling": {name: seen["title"] for name, seen in standard.items() if "title" in seen},
        "placeholders": {name: seen["placeholder"] for name, seen in standard.items() if "placeholder" in seen},
    }
    return form.hook_name, dict(form.extra_fields), behaviour


def test_the_form_has_and_explains_every_field(shown_form: tuple[str, dict[str, Any], dict[str, Any]]) -> None:
    """Its own ones, and labels, placeholders and hidden fields; empty fields pass, an unknown header does not."""
    name, fields, behaviour = shown_form
    assert (name, set(fields)) == (FORM["hook-name"], set(FORM["conn-fields"]))
    wanted = FORM["ui-field-behaviour"]
    assert sorted(behaviour["hidden_fields"]) == sorted(wanted["hidden-fields"])
    assert behaviour["relabeling"] == wanted["relabeling"]
    assert behaviour["placeholders"] == wanted["placeholders"]
    assert _invalid(fields, {}) == []
    assert _invalid(fields, {"auth_header": "Bearer"}) == ["auth_header"]


def _invalid(fields: dict[str, Any], typed: dict[str, str]) -> list[str]:
    """Validate as the version's UI does: the old one by WTForms, the new one by JSON schema."""
    if isinstance(fields["auth_header"], dict):
        valid = importlib.import_module("jsonschema").Draft202012Validator
        return [name for name, field in fields.items() if not valid(field["schema"]).is_valid(typed.get(name))]
    wtforms, multidict = importlib.import_module("wtforms"), importlib.import_module("werkzeug.datastructures")
    form = type("Typed", (wtforms.Form,), fields)(multidict.MultiDict(dict.fromkeys(fields, "") | typed))
    form.validate()
    return sorted(form.errors)
