"""Extra links of the operators: the Insights page of the exported team, and the delivered object in its store.

Both are XComs: the first is pushed before the task defers, the second after the delivery.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

from airflow.providers.common.compat.sdk import BaseOperatorLink, XCom

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator, TaskInstanceKey

    from airflow_provider_sei.protocol.settings import SEISettings


class _XComLink(BaseOperatorLink):
    key = ""

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the URL, or nothing."""
        # Airflow 3 calls this on the worker, where the operator has it; Airflow 2 in its webserver.
        links = getattr(operator, "sei_links", None)
        if isinstance(links, dict):
            return str(links.get(self.key, ""))
        return XCom.get_value(key=self.key, ti_key=ti_key) or ""


class SEIInsightsLink(_XComLink):
    """The Insights page of the exported team; needs the connection's ``account_id``."""

    name = "SEI Insights"
    key = "sei_insights_url"


class SEIObjectLink(_XComLink):
    """The delivered object in the console of S3, Google Cloud Storage or Azure; local files have none."""

    name = "Delivered object"
    key = "sei_object_url"


def set_link(links: dict[str, str], context: Mapping[str, Any], link: type[_XComLink], url: str | None) -> None:
    """Set the URL of a link, if there is one, in an operator's ``sei_links``."""
    if not url:
        return
    links[link.key] = url
    if ti := context.get("ti"):
        ti.xcom_push(key=link.key, value=url)


def insights_url(settings: SEISettings, page: str | None, team_id: str | None) -> str | None:
    """Return the URL of an Insights page, or ``None`` if the account or the page is unknown.

    Source: the URLs of the vendor's own UI (``/ng/account/<id>/module/sei/insights/<page>``, with ``?collectionId=``
    for a team).
    """
    if not settings.account_id or not page:
        return None
    query = f"?{urlencode({'insightType': page, 'collectionId': team_id})}" if team_id else ""
    account = quote(settings.account_id, safe="")
    return f"{settings.base_url.origin}/ng/account/{account}/module/sei/insights/{page}{query}"


def console_url(uri: str) -> str | None:
    """Return the URL of a delivered object in its store's web console, or ``None`` if the store has none."""
    parts = urlsplit(uri)
    bucket, path = parts.netloc, quote(parts.path.lstrip("/"))
    if parts.scheme in ("s3", "s3a"):
        return f"https://s3.console.aws.amazon.com/s3/object/{bucket}?prefix={path}"
    if parts.scheme in ("gs", "gcs"):
        return f"https://console.cloud.google.com/storage/browser/_details/{bucket}/{path}"
    container, _, account = bucket.partition("@")
    if parts.scheme in ("abfs", "abfss", "az") and account:
        return f"https://{account.replace('.dfs.', '.blob.')}/{container}/{path}"
    return None
