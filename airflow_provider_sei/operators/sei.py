"""Operators for the exports and reports of Harness SEI.

``SEIExportOperator`` does everything in one task; ``SEICreateExportOperator``, ``SEIExportSensor`` and
``SEIDownloadExportOperator`` do the same in three. ``SEIListExportsOperator`` lists exports, and
``SEILegacyReportOperator`` is for the synchronous reports.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_sei.delivery.destination import Destination
from airflow_provider_sei.exceptions import SEIError, SEIExportTimeoutError, SEIFileError
from airflow_provider_sei.operators._base import (
    SEIBaseOperator,
    SEIDeliveryOperator,
    SEIRequestOperator,
    complete,
    create_or_resume,
    is_known,
    store_record,
)
from airflow_provider_sei.operators.teams import SEIExportSummaryOperator, SEIListTeamsOperator
from airflow_provider_sei.periods import run_dates
from airflow_provider_sei.protocol.arguments import is_missing, parse_number, parse_reference_data
from airflow_provider_sei.protocol.export_request import ExportRequest
from airflow_provider_sei.protocol.families import get_family
from airflow_provider_sei.protocol.report_request import REPORT_FIELDS, ReportRequest, check_report

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_sei.protocol.exports import Export

_FILTERS = (
    *("status", "scope", "team_id", "created_by", "date_from", "date_to"),
    *("limit", "page", "sort_by", "sort_order"),
)
_LISTED = ("export_id", "family", "created_at", "completed_at", "team_id", "org_tree_name", "date_start", "date_end")
__all__ = [
    "SEICreateExportOperator",
    "SEIDownloadExportOperator",
    "SEIExportOperator",
    "SEIExportSummaryOperator",
    "SEILegacyReportOperator",
    "SEIListExportsOperator",
    "SEIListTeamsOperator",
    "SEIReferenceDataOperator",
]


@complete
class SEICreateExportOperator(SEIRequestOperator):
    """Create an export and return its id.

    A retry resumes the export of the previous try (Airflow 3.3 and newer keep its id), and within 30 minutes the server
    responds to an identical request with the existing export, so a retry does not create a second one. Arguments
    without templates are checked when the DAG is parsed, the others after rendering, before anything is sent.
    """

    def __init__(
        self,
        *,
        family: str,
        org_tree_name: str | None = None,
        team_id: str | int | None = None,
        manager_email_id: str | None = None,
        scope: Mapping[str, Any] | None = None,
        date_start: str | None = None,
        date_end: str | None = None,
        periods_ago: int = 0,
        metric_groups: Sequence[str] | str | None = None,
        metrics: Sequence[str] | str | None = None,
        granularity: str | None = None,
        level: str | None = None,
        aggregation: str | None = None,
        computation_mode: str | None = None,
        issue_statuses: Sequence[str] | str | None = None,
        terminal_date_column: str | None = None,
        work_category_filter: Sequence[str] | str | None = None,
        file_format: str | None = None,
        export_compression: str | None = None,
        extra_body: Mapping[str, Any] | None = None,
        create_jitter: float = 0.0,
        reused_failed: str = "fail",
        sei_conn_id: str = "sei_default",
        project_identifier: str | None = None,
        org_identifier: str | None = None,
        account_id: str | None = None,
        auth_header: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._accept(locals())

    def execute(self, context: Context) -> Any:
        """Create the export; its id is the task's result."""
        request, record = self._prepare(context)
        if self.create_jitter:
            time.sleep(self._create_delay(record))
        self._export, _ = create_or_resume(self.hook, request, context, record, self.reused_failed)
        return self._export.export_id


@complete
class SEIExportOperator(SEIDeliveryOperator, SEIRequestOperator):
    """Create an export, wait for it, and deliver its file, in one task.

    The wait is deferred, so it occupies no worker. The result is a dict with ``uri``, ``path`` (of a local file),
    ``conn_id``, ``destination`` (the URI with the connection, which ``ObjectStoragePath`` opens), ``bytes``, ``rows``
    (without a CSV's header), ``sha256``, ``written`` (``False`` if ``overwrite="skip"`` found the same content),
    ``export_id``, ``family``, ``date_start``, ``date_end``, ``reused``, ``created_at``, ``completed_at``, ``columns``.

    :param wait_timeout: longest wait for the export in seconds, from the create call; ``execution_timeout`` ends it,
        too.
    :param poll_interval: seconds between two status polls; by default it grows with the elapsed time.
    :param deferrable: whether to wait in the triggerer; ``False`` occupies a worker.
    :param verify_size: whether the file must have the size that the export's status announces.
    """

    def __init__(
        self,
        *,
        family: str,
        org_tree_name: str | None = None,
        team_id: str | int | None = None,
        manager_email_id: str | None = None,
        scope: Mapping[str, Any] | None = None,
        date_start: str | None = None,
        date_end: str | None = None,
        periods_ago: int = 0,
        metric_groups: Sequence[str] | str | None = None,
        metrics: Sequence[str] | str | None = None,
        granularity: str | None = None,
        level: str | None = None,
        aggregation: str | None = None,
        computation_mode: str | None = None,
        issue_statuses: Sequence[str] | str | None = None,
        terminal_date_column: str | None = None,
        work_category_filter: Sequence[str] | str | None = None,
        file_format: str | None = None,
        export_compression: str | None = None,
        extra_body: Mapping[str, Any] | None = None,
        destination: str,
        layout: str = "flat",
        compression: str = "keep",
        overwrite: str = "replace",
        empty: str = "deliver",
        output: str = "csv",
        column_types: Mapping[str, str] | None = None,
        column_names: str = "keep",
        expect_columns: Sequence[str] | None = None,
        on_schema_change: str = "fail",
        asset_partitions: Sequence[str] | str | None = None,
        deferrable: bool = True,
        wait_timeout: float = 3 * 60 * 60,
        poll_interval: float | None = None,
        create_jitter: float = 0.0,
        reused_failed: str = "fail",
        download_timeout: float = 60 * 60,
        verify_size: bool = True,
        sei_conn_id: str = "sei_default",
        project_identifier: str | None = None,
        org_identifier: str | None = None,
        account_id: str | None = None,
        auth_header: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._accept(locals())

    def execute(self, context: Context) -> dict[str, Any]:
        """Create the export, perhaps after a delay, and deliver it immediately or after a deferral."""
        return self.execute_create(context, delay=bool(self.create_jitter))

    def execute_create(
        self, context: Context, event: Any = None, *, deadline: float | None = None, delay: bool = False
    ) -> dict[str, Any]:
        """Create the export; ``deadline`` (epoch seconds) is that of the try, if ``create_jitter`` has deferred it."""
        from airflow_provider_sei.delivery.pipeline import check_destination
        from airflow_provider_sei.protocol.waiting import ExportWait, WaitPlan

        # All arguments are parsed first: nothing waits or is created if one is invalid.
        request, record = self._prepare(context, logging.INFO if deadline is None else logging.DEBUG)
        destination = self._resolve_destination(context, request)
        if ti := context.get("ti"):  # Rendered Templates do not have what only the run decides
            ti.xcom_push(key="sei_request", value={**self._scope, "destination": destination.url})
        check_destination(destination)
        deadline = self._execution_deadline(context) if deadline is None else deadline
        if delay:  # a missing deadline does not say so: dag.test() drops the arguments of a deferral
            self._wait_to_create(record, deadline)
        started_at = time.time()
        if started_at >= deadline:
            msg = "execution_timeout ended before the create call, so nothing was created; allow more time"
            raise SEIExportTimeoutError(msg)
        deadline = min(started_at + self.wait_timeout, deadline)
        with self.hook.time_limit(deadline - started_at):
            export, is_current = create_or_resume(self.hook, request, context, record, self.reused_failed)
        self._export = export
        plan = WaitPlan(
            family=export.family,
            export_id=export.export_id,
            started_at=started_at,
            deadline=deadline,
            poll_interval=self.poll_interval,
        )
        if not self.deferrable:
            outcome = self.hook.wait_for_export(plan)
        elif polled := self.hook.poll_export(ExportWait(plan), export if is_current else None):
            outcome = polled
        else:
            decisions = {"scope": self._scope, "destination": asdict(destination), "reused": export.reused}
            self._defer_until_completed(plan, decisions)
        if outcome.error:
            self.hook.explain(outcome.error, self._scope)
        return self._deliver(context, replace(outcome.export_or_raise(), reused=export.reused), destination)

    def _resolve_destination(self, context: Context, request: ExportRequest) -> Destination:
        settings, scope = self.hook.settings, request.scope
        names = {"team_id": scope.get("teamId"), "org_tree_name": scope.get("orgTreeName")}
        names |= {"family": request.family.name, "date_start": request.date_start, "date_end": request.date_end}
        self._set_scope(context, request.family.insights_page, names)
        names |= {name: getattr(request, name) for name in ("metric_groups", "metrics", "issue_statuses", "options")}
        fields = {"period": self._period, **names, **settings.destination_fields}
        return self._parse_destination(context).resolve(fields | request.fingerprints(settings.source))

    def _wait_to_create(self, record: Mapping[str, Any], deadline: float) -> None:
        delay = min(self._create_delay(record), max(0.0, deadline - time.time()))
        if delay and self.deferrable:
            from airflow.providers.common.compat.standard.triggers import TimeDeltaTrigger

            trigger = TimeDeltaTrigger(timedelta(seconds=delay))
            self.defer(trigger=trigger, method_name="execute_create", kwargs={"deadline": deadline})
        elif delay:
            time.sleep(delay)

    def execute_complete(self, context: Context, event: Any) -> dict[str, Any]:
        """Deliver the completed export. All decisions of the first part of the task come with the event."""
        from airflow_provider_sei.protocol.waiting import read_event

        decisions = event.get("passthrough") if isinstance(event, Mapping) else None
        if not isinstance(decisions, Mapping) or not {"scope", "destination"} <= decisions.keys():
            msg = f"the trigger's event for {read_event(event).description} has no destination; clear the task"
            raise SEIError(msg)
        # Before an error is raised: lineage reports what was to be read also if the task fails.
        self._set_scope(context, get_family(decisions["scope"]["family"]).insights_page, decisions["scope"])
        try:
            export = replace(read_event(event), reused=decisions.get("reused"))
        except SEIError as error:
            self.hook.explain(error, self._scope)
            raise
        return self._deliver(context, export, Destination(**decisions["destination"]))

    def _deliver(self, context: Context, export: Export, destination: Destination) -> dict[str, Any]:
        self._export = None  # it does not keep running any more
        for warning in export.mismatches(self._scope):
            self.log.warning("%s", warning)
        try:
            delivered = self.hook.download_export(export, destination, verify_size=self.verify_size)
        except SEIFileError as error:
            error.retry_after = export.reusable_seconds(time.time())
            store_record(export, context, {})
            words = "Forgetting %s, whose file is not available. For %s s, SEI returns it to retries; then a new one"
            self.log.warning(words, export.description, error.retry_after)
            raise
        return self._build_result(context, delivered, export)


@complete
class SEIDownloadExportOperator(SEIDeliveryOperator):
    """Deliver the file of a completed export; the task's result is that of ``SEIExportOperator``.

    In a flat folder, the file is named after family and id. With the ``hive`` layout and with fields in
    ``destination``, period and scope are those that the server reports for the export.

    :param family: the export's family.
    :param export_id: the export, as returned by ``SEICreateExportOperator`` or ``SEIExportSensor``.
    :param file_format: ``csv``, or ``json`` for an export that was created with it.
    :param verify_size: whether the file must have the size that the export's status announces.
    """

    def __init__(
        self,
        *,
        family: str,
        export_id: str,
        file_format: str = "csv",
        destination: str,
        layout: str = "flat",
        compression: str = "keep",
        overwrite: str = "replace",
        empty: str = "deliver",
        output: str = "csv",
        column_types: Mapping[str, str] | None = None,
        column_names: str = "keep",
        expect_columns: Sequence[str] | None = None,
        on_schema_change: str = "fail",
        asset_partitions: Sequence[str] | str | None = None,
        download_timeout: float = 60 * 60,
        verify_size: bool = True,
        sei_conn_id: str = "sei_default",
        project_identifier: str | None = None,
        org_identifier: str | None = None,
        account_id: str | None = None,
        auth_header: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._accept(locals())

    def execute(self, context: Context) -> dict[str, Any]:
        """Read the export's status and deliver its file."""
        destination, family = self._parse_destination(context), get_family(self.family)
        self._set_scope(context, family.insights_page, {"family": family.name})
        export = self.hook.get_export(family.name, self.export_id)
        delivered = self.hook.download_export(export, destination, verify_size=self.verify_size)
        return self._build_result(context, delivered, export)


@complete
class SEIListExportsOperator(SEIBaseOperator):
    """List exports, to map tasks over them.

    The task's result is a list of dicts with ``export_id``, ``family``, ``status`` (in lower case), ``created_at``,
    ``completed_at``, ``team_id``, ``org_tree_name``, ``date_start``, ``date_end`` (or ``None``).

    :param family: which family's exports.
    :param status: only exports of this status, in any case: ``queued``, ``completed``, ...
    :param scope: ``all`` (the server's default) or ``mine``.
    :param team_id: only exports of this team.
    :param created_by: only exports of this user id.
    :param date_from: only exports created on or after this day, yyyy-MM-dd, or ISO 8601 date and time (without an
        offset, in UTC).
    :param date_to: likewise, created before.
    :param sort_by: ``createdAt`` (the server's default), ``completedAt`` or ``status``.
    :param sort_order: ``asc`` or ``desc`` (the server's default).
    :param max_exports: at most this many; ``None`` lists all, page by page.
    :param limit: exports per page, 1 to 100; 50 is the vendor's default.
    :param page: number of the first page, from 0.
    """

    def __init__(
        self,
        *,
        family: str,
        status: str | None = None,
        scope: str | None = None,
        team_id: str | int | None = None,
        created_by: str | None = None,
        date_from: str | None = None,
        date_to: str | None = None,
        sort_by: str | None = None,
        sort_order: str | None = None,
        max_exports: int | None = None,
        limit: int = 50,
        page: int = 0,
        sei_conn_id: str = "sei_default",
        project_identifier: str | None = None,
        org_identifier: str | None = None,
        account_id: str | None = None,
        auth_header: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._accept(locals())
        from airflow_provider_sei.protocol import listing  # only DAG files with this operator need it

        if is_known(max_exports) and not is_missing(max_exports):
            parse_number(max_exports, "max_exports", least=1, most=10**6, whole=True)
        listing.list_query(**{name: value for name in _FILTERS if is_known(value := getattr(self, name))})

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Read the list, page by page."""
        filters = {name: getattr(self, name) for name in _FILTERS}
        found = self.hook.iter_exports(self.family, max_exports=self.max_exports, **filters)
        exports = [{name: getattr(each, name) for name in _LISTED} | {"status": each.status.value} for each in found]
        self.log.info("%d %s exports", len(exports), self.family)
        return exports


@complete
class SEILegacyReportOperator(SEIDeliveryOperator):
    """Request a report of the legacy API and deliver it, in one synchronous call.

    The vendor keeps this API for older integrations. Large teams can time out: request one team at a time. The task's
    result is that of ``SEIExportOperator`` without an export id; ``family`` is ``team-report`` or
    ``contributor-report``. An empty report is a file of 0 bytes, and a success.

    :param collection_id: the team; ``collectionId`` and ``teamRefId`` are the same identifier, both are set from it.
    :param date_start: first day of the period, yyyy-MM-dd. If neither day is given, or both are rendered to nothing,
        the run's own period is reported, as by ``SEICreateExportOperator``, but always with the last full month.
    :param date_end: last day of the period, inclusive.
    :param report_type: ``team`` (a row per team, child teams included) or ``contributor`` (a row per developer).
    :param granularity: ``daily``, ``weekly``, ``monthly`` or another time unit of rates; ``None`` omits it.
    :param productivity_metrics: for a team report; an empty list means all, ``None`` omits the part.
    :param efficiency_metrics: likewise, for the DORA metrics. If no metrics are given, a team report has all of both.
    :param calculation_type: for the efficiency part: ``MEAN`` (the vendor's default), ``MEDIAN``, ``P90`` or ``P95``.
    :param include_ratings: for a contributor report, or with ``efficiency_metrics``: add the rating columns.
    :param contributor_metrics: for a contributor report; empty means all.
    :param identifier_fields: which of ``collectionId`` and ``teamRefId`` to send, if not the documented ones.
    :param extra_body: merged into the finished request body, unchecked.

    All other arguments: :class:`SEIDeliveryOperator <airflow_provider_sei.operators._base.SEIDeliveryOperator>`.
    ``auth_header`` is ``x-api-key`` unless the connection has another.
    """

    template_fields_renderers = {"extra_body": "json"}  # noqa: RUF012 - Airflow's own declaration

    def __init__(
        self,
        *,
        collection_id: str | int,
        date_start: str | None = None,
        date_end: str | None = None,
        report_type: str = "team",
        granularity: str | None = "weekly",
        productivity_metrics: Sequence[str] | None = None,
        efficiency_metrics: Sequence[str] | None = None,
        calculation_type: str | None = None,
        include_ratings: bool | None = None,
        contributor_metrics: Sequence[str] | None = None,
        identifier_fields: Sequence[str] | None = None,
        extra_body: Mapping[str, Any] | None = None,
        destination: str,
        layout: str = "flat",
        compression: str = "keep",
        overwrite: str = "replace",
        empty: str = "deliver",
        output: str = "csv",
        column_types: Mapping[str, str] | None = None,
        column_names: str = "keep",
        expect_columns: Sequence[str] | None = None,
        on_schema_change: str = "fail",
        asset_partitions: Sequence[str] | str | None = None,
        download_timeout: float = 60 * 60,
        sei_conn_id: str = "sei_default",
        project_identifier: str | None = None,
        org_identifier: str | None = None,
        account_id: str | None = None,
        auth_header: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._accept(locals())
        check_report({name: getattr(self, name) for name in REPORT_FIELDS}, is_known)

    def execute(self, context: Context) -> dict[str, Any]:
        """Request the report and deliver the response."""
        arguments = {name: getattr(self, name) for name in REPORT_FIELDS}
        if is_missing(self.date_start) and is_missing(self.date_end):
            arguments |= run_dates(context)[0]
        request = ReportRequest.from_arguments(**arguments)
        destination = self._parse_destination(context)
        days = {"date_start": request.date_start, "date_end": request.date_end}
        scope = {"family": request.family, "team_id": request.collection_id, **days}
        self._set_scope(context, "productivity", scope)
        return self._build_result(context, self.hook.download_report(request, destination))


@complete
class SEIReferenceDataOperator(SEIDeliveryOperator):
    """Deliver a table that exports are joined with, as it is now: developers, their identities, or the teams.

    The task's result is that of ``SEIExportOperator`` without export id and period; ``family`` is the kind. The file in
    a folder is called after the kind, so each run replaces the last one's, unless the folder has ``{{ ds }}``.

    :param kind: ``developers`` and ``identities`` (their accounts in other systems) are the server's own CSV, with
        personal data, which stay in the file; the key needs access to developer records. ``teams`` is made of the
        organisation trees: a row for each team, with ``org_tree_id``, ``org_tree_name``, ``team_id``, ``team_name``,
        ``parent_team_id``, ``path`` (names from the root, joined by slashes), ``leaf`` and ``developers`` (a number).
    :param org_tree_name: for ``teams``: only this organisation tree.
    :param verify_rows: for ``developers``: whether the file must have as many rows as their list; it may be paged.
    """

    def __init__(
        self,
        *,
        kind: str,
        org_tree_name: str | None = None,
        destination: str,
        layout: str = "flat",
        compression: str = "keep",
        overwrite: str = "replace",
        empty: str = "deliver",
        output: str = "csv",
        column_types: Mapping[str, str] | None = None,
        column_names: str = "keep",
        expect_columns: Sequence[str] | None = None,
        on_schema_change: str = "fail",
        asset_partitions: Sequence[str] | str | None = None,
        download_timeout: float = 60 * 60,
        verify_rows: bool = True,
        sei_conn_id: str = "sei_default",
        project_identifier: str | None = None,
        org_identifier: str | None = None,
        account_id: str | None = None,
        auth_header: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._accept(locals())
        if is_known([kind, org_tree_name]):
            parse_reference_data(kind, org_tree_name)

    def execute(self, context: Context) -> dict[str, Any]:
        """Request the table and deliver it."""
        kind, tree = parse_reference_data(self.kind, self.org_tree_name)
        self._set_scope(context, None, {"family": kind, "org_tree_name": tree})
        destination, verify = self._parse_destination(context), self.verify_rows
        delivered = self.hook.download_reference_data(kind, destination, org_tree_name=tree, verify_rows=verify)
        return self._build_result(context, delivered)
