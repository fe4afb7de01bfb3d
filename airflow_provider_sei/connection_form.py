"""The connection's form as Airflow 2.11 to 3.1 want it: from two methods of the hook.

Airflow 3.2 and newer build the form from ``get_provider_info`` and call neither. What the form says stands there alone.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from airflow_provider_sei.get_provider_info import get_provider_info

__all__ = ["field_behaviour", "form_widgets"]


def form_widgets() -> dict[str, Any]:
    """Return a WTForms field for each field that is kept in the connection's extra.

    Without WTForms and Flask AppBuilder, as an API server of Airflow 3.0 can be, there are none; the fields can then be
    set in the extra JSON.
    """
    try:
        # By name and as modules: Airflow 3.0 and 3.1 put stand-ins of their own into them while they ask.
        wtforms, validators = import_module("wtforms"), import_module("wtforms.validators")
        widgets = import_module("flask_appbuilder.fieldwidgets")
        lazy_gettext = import_module("flask_babel").lazy_gettext
    except ImportError:
        return {}
    fields: dict[str, Any] = {}
    for name, field in _connection_type()["conn-fields"].items():
        schema = field["schema"]
        checks = [validators.Optional()]
        if "enum" in schema:
            checks.append(validators.any_of(schema["enum"]))
        # These versions know integers, texts, passwords and flags; the hook reads a number from a text as well.
        kind = wtforms.IntegerField if "integer" in schema["type"] else wtforms.StringField
        fields[name] = kind(
            lazy_gettext(field["label"]),
            validators=checks,
            description=field["description"],
            widget=widgets.BS3TextFieldWidget(),
        )
    return fields


def field_behaviour() -> dict[str, Any]:
    """Return which of the connection's own fields are hidden, renamed or explained."""
    return {name.replace("-", "_"): value.copy() for name, value in _connection_type()["ui-field-behaviour"].items()}


def _connection_type() -> dict[str, Any]:
    [only] = get_provider_info()["connection-types"]
    return dict(only)
