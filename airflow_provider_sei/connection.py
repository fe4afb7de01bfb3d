"""Airflow connections of type ``harness_sei``: their settings, and their form."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from airflow_provider_sei.exceptions import SEIArgumentError
from airflow_provider_sei.get_provider_info import get_provider_info
from airflow_provider_sei.protocol.settings import SEISettings

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection


def read_settings(connection: Connection, extra: Mapping[str, Any], **overrides: str | None) -> SEISettings:
    """Return the settings of a connection, with a task's own in place of some.

    :param extra: the connection's, which workers and event loops read differently.
    """
    try:
        fields = {name: getattr(connection, name) for name in ("host", "login", "password", "schema", "port")}
        settings = SEISettings.from_fields(**fields, extra=extra)
    except SEIArgumentError as error:
        msg = f"connection {connection.conn_id!r}: {error}"
        raise SEIArgumentError(msg, field=error.field) from None
    return settings.with_overrides(**overrides)


# Airflow 2.11 to 3.1 build the connection's form from these two; Airflow 3.2 and newer from get_provider_info alone.


def form_widgets() -> dict[str, Any]:
    """Return a WTForms field for each field of the connection's extra.

    Without WTForms and Flask AppBuilder (possible on Airflow 3.0) there are none, and the extra is edited as JSON.
    """
    try:
        # As modules: Airflow 3.0 and 3.1 replace their attributes during this call.
        wtforms, validators = import_module("wtforms"), import_module("wtforms.validators")
        widgets = import_module("flask_appbuilder.fieldwidgets")
        lazy_gettext = import_module("flask_babel").lazy_gettext
    except ImportError:
        return {}
    [connection_type], fields = get_provider_info()["connection-types"], dict[str, Any]()
    for name, field in connection_type["conn-fields"].items():
        schema = field["schema"]
        checks = [validators.Optional()]
        if "enum" in schema:
            checks.append(validators.any_of(schema["enum"]))
        # These versions have no field for floating-point numbers; the hook accepts a number as text, too.
        kind = wtforms.IntegerField if "integer" in schema["type"] else wtforms.StringField
        fields[name] = kind(
            lazy_gettext(field["label"]),
            validators=checks,
            description=field["description"],
            widget=widgets.BS3TextFieldWidget(),
        )
    return fields


def field_behaviour() -> dict[str, Any]:
    """Return which of the connection's own fields are hidden, relabelled or explained."""
    [connection_type] = get_provider_info()["connection-types"]
    return {name.replace("-", "_"): value.copy() for name, value in connection_type["ui-field-behaviour"].items()}
