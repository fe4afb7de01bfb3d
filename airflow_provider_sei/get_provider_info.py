"""What Airflow reads about this package: names, the connection's form, and where the classes are.

The entry point ``apache_airflow_provider`` leads here and every Airflow process calls it, so this module imports
nothing of the package. Airflow 3.3 builds the connection form from this alone; older versions ask the hook.
"""

from __future__ import annotations

from typing import Any

_INTEGRATION = "Harness SEI"

_CONNECTION_TYPE: dict[str, Any] = {
    "connection-type": "harness_sei",
    "hook-class-name": "airflow_provider_sei.hooks.sei.SEIHook",
    "hook-name": _INTEGRATION,
    "ui-field-behaviour": {
        "hidden-fields": ["login", "port", "schema"],
        "relabeling": {"host": "Base URL or alias", "password": "API key"},
        "placeholders": {
            "host": "prod1, prod2, eu, or a base URL (https://.../sei/api)",
            "password": "API key of the Harness project",
        },
    },
    "conn-fields": {
        "project_identifier": {
            "label": "Project identifier",
            "description": "Every export call needs it: here, or in the task, which goes first.",
            "schema": {"type": ["string", "null"]},
        },
        "org_identifier": {
            "label": "Organization identifier",
            "description": "Every export call needs it: here, or in the task, which goes first.",
            "schema": {"type": ["string", "null"]},
        },
        "account_id": {
            "label": "Account id",
            "description": "Optional. For links to Insights pages; also sent where a call takes it.",
            "schema": {"type": ["string", "null"]},
        },
        "auth_header": {
            "label": "Header of the API key",
            "description": "As documented: authorization for exports, x-api-key for legacy reports.",
            "schema": {
                "type": ["string", "null"],
                "enum": [None, "authorization", "x-api-key", "SEI_API_KEY"],
                "values_display": {"null": "as documented"},
            },
        },
        "calls_per_minute": {
            "label": "Calls per minute",
            "description": "For one triggerer to spend on waiting. Empty: 240. Harness allows 1000, by x-api-key 400.",
            "schema": {"type": ["integer", "null"], "minimum": 1},
        },
        "connect_timeout": {
            "label": "Connect timeout (seconds)",
            "description": "How long one call may take to reach Harness. Empty: 10.",
            "schema": {"type": ["number", "null"], "minimum": 0},
        },
        "read_timeout": {
            "label": "Read timeout (seconds)",
            "description": "How long Harness may stay silent within one call. Empty: 60.",
            "schema": {"type": ["number", "null"], "minimum": 0},
        },
        "ca_bundle": {
            "label": "CA bundle",
            "description": "Path of a PEM file on workers and triggerers. Empty: REQUESTS_CA_BUNDLE's or certifi's.",
            "schema": {"type": ["string", "null"]},
        },
    },
}


def _modules(*names: str) -> list[dict[str, Any]]:
    return [{"integration-name": _INTEGRATION, "python-modules": list(names)}]


def get_provider_info() -> dict[str, Any]:
    """Return the provider's description in the form of Airflow's ``provider_info.schema.json``."""
    return {
        # Airflow refuses every provider of the machine if this differs from the distribution's name.
        "package-name": "airflow-provider-sei",
        "name": _INTEGRATION,
        "description": "Exports of Harness Software Engineering Insights (SEI), delivered as verified CSV files.",
        "integrations": [
            {
                "integration-name": _INTEGRATION,
                "external-doc-url": "https://developer.harness.io/docs/software-engineering-insights/",
                "tags": ["service"],
            },
        ],
        "hooks": _modules("airflow_provider_sei.hooks.sei"),
        "operators": _modules("airflow_provider_sei.operators.sei"),
        "sensors": _modules("airflow_provider_sei.sensors.sei"),
        "triggers": _modules(
            "airflow_provider_sei.triggers.sei",
            "airflow_provider_sei.triggers.turn",
            "airflow_provider_sei.triggers.watcher",
        ),
        "connection-types": [_CONNECTION_TYPE],
        "extra-links": ["airflow_provider_sei.links.SEIInsightsLink", "airflow_provider_sei.links.SEIObjectLink"],
        "asset-uris": [
            {
                "schemes": ["sei"],
                "handler": "airflow_provider_sei.assets.sanitize_uri",
                "to_openlineage_converter": "airflow_provider_sei.assets.asset_dataset",
            },
        ],
    }
