"""The provider's metadata: names, the connection's form, and the modules of its classes.

Every Airflow process loads it by the entry point ``apache_airflow_provider``, so it imports nothing of the package.
Airflow 3.2 and newer build the connection form from it; older versions ask the hook.
"""

from __future__ import annotations

from typing import Any

_INTEGRATION = "Harness SEI"


def _field(label: str, description: str, *, kind: str = "string", **schema: Any) -> dict[str, Any]:
    return {"label": label, "description": description, "schema": {"type": [kind, "null"], **schema}}


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
        "project_identifier": _field("Project identifier", "Required for exports; a task's own value overrides it."),
        "org_identifier": _field("Organization identifier", "Required for exports; a task's own value overrides it."),
        "account_id": _field("Account id", "Advised. For names of files and assets, and links to Insights pages."),
        "auth_header": _field(
            "Header of the API key",
            "As documented: authorization for exports, x-api-key for legacy reports.",
            enum=[None, "authorization", "x-api-key", "SEI_API_KEY"],
            values_display={"null": "as documented"},
        ),
        "account_header": _field(
            "Header of the account id",
            "Empty: none. For the token of a service account, which needs account id and header x-api-key as well.",
            enum=[None, "Harness-Account"],
            values_display={"null": "none"},
        ),
        "calls_per_minute": _field(
            "Calls per minute",
            "Rate limit of one triggerer's polling. Empty: 240. Harness allows 1000, by x-api-key 400.",
            kind="integer",
            minimum=1,
        ),
        "connect_timeout": _field(
            "Connect timeout (seconds)", "Longest time to connect. Empty: 10.", kind="number", minimum=0
        ),
        "read_timeout": _field(
            "Read timeout (seconds)", "Longest silence. Empty: 60, for legacy reports 300.", kind="number", minimum=0
        ),
        "ca_bundle": _field(
            "CA bundle", "Path of a PEM file on workers and triggerers. Empty: REQUESTS_CA_BUNDLE's or certifi's."
        ),
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
        "description": "Exports of Harness Software Engineering Insights (SEI), delivered as verified files.",
        "integrations": [
            {
                "integration-name": _INTEGRATION,
                "external-doc-url": "https://developer.harness.io/ai-dlc-insights",
                "tags": ["service"],
            },
        ],
        "hooks": _modules("airflow_provider_sei.hooks.sei"),
        "operators": _modules("airflow_provider_sei.operators.sei"),
        "sensors": _modules("airflow_provider_sei.sensors.sei"),
        "triggers": _modules("airflow_provider_sei.triggers.sei", "airflow_provider_sei.triggers.watcher"),
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
