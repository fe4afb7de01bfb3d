"""Extra links of the operators, kept as XComs: the exported team's Insights page, and the delivered object."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode, urlsplit

from airflow.providers.common.compat.sdk import BaseOperatorLink, XCom

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator, TaskInstanceKey

    from airflow_provider_sei.protocol.settings import SEISettings


class _XComLink(BaseOperatorLink):
    xcom_key = ""  # where Airflow 3, too, keeps the URL

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the URL, or nothing."""
        # Airflow 3 calls this on the worker, where the operator has it; Airflow 2 in its webserver.
        links = getattr(operator, "sei_links", None)
        if isinstance(links, dict):
            return str(links.get(self.xcom_key, ""))
        return XCom.get_value(key=self.xcom_key, ti_key=ti_key) or ""


class SEIInsightsLink(_XComLink):
    """The Insights page of the exported team; needs the connection's ``account_id``."""

    name = "SEI Insights"
    xcom_key = "sei_insights_url"


class SEIObjectLink(_XComLink):
    """The delivered object in the console of S3, Google Cloud Storage or Azure; local files have none."""

    name = "Delivered object"
    xcom_key = "sei_object_url"


def insights_url(settings: SEISettings, page: str | None, team_id: str | None) -> str | None:
    """Return the URL of an Insights page as the vendor's UI has it, or ``None`` if account or page is unknown."""
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
