"""Operators for the exports and reports of Harness SEI.

``SEIExportOperator`` does the whole job in one task. ``SEICreateExportOperator``, ``SEIExportSensor`` and
``SEIDownloadExportOperator`` are the same job in three. ``SEILegacyReportOperator`` is for the synchronous reports.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_sei.assets import Subject
from airflow_provider_sei.attempts import create_or_go_on
from airflow_provider_sei.deferral import completed, deadline, defer_until_completed, look_once
from airflow_provider_sei.exceptions import airflow_errors
from airflow_provider_sei.operators.base import SEIRequestOperator, checked_flag, is_constant
from airflow_provider_sei.operators.delivery import SEIDeliveryOperator
from airflow_provider_sei.operators.reports import SEILegacyReportOperator
from airflow_provider_sei.protocol.events import read_event
from airflow_provider_sei.protocol.exports import checked_export_id, checked_reused_failed
from airflow_provider_sei.protocol.families import get_family
from airflow_provider_sei.protocol.naming import request_name
from airflow_provider_sei.protocol.specs import ExportSpec
from airflow_provider_sei.protocol.waiting import WaitPlan, checked_wait

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_sei.protocol.exports import Export

__all__ = [
    "SEICreateExportOperator",
    "SEIDownloadExportOperator",
    "SEIExportOperator",
    "SEILegacyReportOperator",
]


class SEICreateExportOperator(SEIRequestOperator):
    """Create an export and return its id.

    A retry goes on with the export of the try before (Airflow 3.3 and newer keep its id); and within 30 minutes the
    server answers an identical request with the export that it has already. So a retry does not make a second one.

    :param reused_failed: what to do when that older export has failed: ``fail`` the task with the server's reason, or
        ``retry`` it (with the task's ``retries``; a new export is made once 30 minutes have passed).

    All other arguments: :class:`SEIRequestOperator <airflow_provider_sei.operators.base.SEIRequestOperator>`.
    """

    template_fields: Sequence[str] = ("reused_failed", *SEIRequestOperator.template_fields)

    def __init__(self, *, reused_failed: str = "fail", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.reused_failed = reused_failed
        self._export: Export | None = None
        if is_constant(reused_failed):
            with airflow_errors():
                checked_reused_failed(reused_failed)

    def execute(self, context: Context) -> str:
        """Create the export; its id, as text, is the task's result."""
        return self.create_export(self.checked_request(), context).export_id

    def create_export(self, spec: ExportSpec, context: Context) -> Export:
        """Create the export that ``spec`` asks for, or go on with that of an earlier try."""
        self._export = create_or_go_on(self.hook, spec, context, self.reused_failed)
        return self._export

    def on_kill(self) -> None:
        """Say what goes on at the server: SEI has no call to cancel an export."""
        if self._export is not None:
            self.log.warning(
                "Killed. %s export %s goes on at the server, for SEI has no call to cancel it; a retry goes on with it",
                self._export.family,
                self._export.export_id,
            )


class SEIExportOperator(SEIDeliveryOperator, SEICreateExportOperator):
    """Create an export, wait for it, and deliver its file, in one task.

    The wait is deferred: it holds no worker. The task's result is a dict with ``uri``, ``bytes``, ``rows`` (CSV records
    without the header), ``sha256``, ``export_id``, ``family``, ``reused``, ``created_at`` and ``completed_at``.

    :param wait_timeout: seconds to wait for the export, at most; ``execution_timeout`` ends the wait too.
    :param poll_interval: seconds between two looks at the export; by default they grow with the time waited.
    :param deferrable: whether to wait in the triggerer; ``False`` holds the worker.
    :param verify_size: whether the file must have the size that the export's status announces.

    All other arguments: :class:`SEICreateExportOperator` and
    :class:`SEIDeliveryOperator <airflow_provider_sei.operators.delivery.SEIDeliveryOperator>`.
    """

    # Each once, though both parents have the connection's: a field that is named twice is rendered twice.
    template_fields: Sequence[str] = tuple(
        dict.fromkeys(
            (
                *("wait_timeout", "poll_interval", "verify_size"),
                *SEIDeliveryOperator.template_fields,
                *SEICreateExportOperator.template_fields,
            )
        )
    )

    def __init__(
        self,
        *,
        wait_timeout: float = 3 * 60 * 60,
        poll_interval: float | None = None,
        deferrable: bool = True,
        verify_size: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.wait_timeout = wait_timeout
        self.poll_interval = poll_interval
        self.deferrable = deferrable
        self.verify_size = verify_size
        with airflow_errors():
            checked_wait(*(value if is_constant(value) else 1.0 for value in (wait_timeout, poll_interval)))
            if is_constant(verify_size):
                checked_flag(verify_size, "verify_size")

    def execute(self, context: Context) -> dict[str, Any]:  # type: ignore[override]  # the parent returns the id alone
        """Create the export, and deliver it at once or after a deferral."""
        spec = self.checked_request()
        self.checked_destination()
        with airflow_errors():
            wait_seconds, poll_interval = checked_wait(self.wait_timeout, self.poll_interval)
            checked_flag(self.verify_size, "verify_size")
        self.begin(context, self._subject_of(spec), spec.family.insights_page)
        started_at = time.time()
        export = self.create_export(spec, context)
        plan = WaitPlan(
            family=export.family,
            export_id=export.export_id,
            started_at=started_at,
            deadline=deadline(self, started_at, wait_seconds, context),
            poll_interval=poll_interval,
        )
        if self.deferrable:
            outcome = look_once(self.hook, plan)
            if outcome is None:
                defer_until_completed(self, self.hook, plan, reused=export.reused)
        else:
            outcome = self.hook.wait_for_export(plan)
        return self._deliver(context, spec, completed(outcome), reused=export.reused)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Deliver the export that the trigger has seen completed."""
        with airflow_errors():
            export = self._export = read_event(event)
        spec = self.checked_request()
        self.begin(context, self._subject_of(spec), spec.family.insights_page)
        return self._deliver(context, spec, export, reused=export.reused)

    def _subject_of(self, spec: ExportSpec) -> Subject:
        settings = self.hook.settings
        return Subject(
            family=spec.family.name,
            org_identifier=settings.org_identifier,
            project_identifier=settings.project_identifier,
            team_id=spec.scope.get("teamId"),
            org_tree_name=spec.scope.get("orgTreeName"),
            date_start=spec.date_start,
            date_end=spec.date_end,
        )

    def _deliver(self, context: Context, spec: ExportSpec, export: Export, *, reused: bool | None) -> dict[str, Any]:
        settings = self.hook.settings
        name = request_name(
            spec.family.name,
            org_tree_name=spec.scope.get("orgTreeName"),
            team_id=spec.scope.get("teamId"),
            date_start=spec.date_start,
            date_end=spec.date_end,
            fingerprint=spec.fingerprint(
                org_identifier=settings.org_identifier, project_identifier=settings.project_identifier
            ),
        )
        delivered = self.hook.download_export(
            export, self.checked_destination(), name=name, verify_size=checked_flag(self.verify_size, "verify_size")
        )
        return self.result(context, delivered, export=export, reused=reused)


class SEIDownloadExportOperator(SEIDeliveryOperator):
    """Deliver the file of a completed export; the task's result is the same dict as ``SEIExportOperator``'s.

    :param family: the export's family.
    :param export_id: the export, as ``SEICreateExportOperator`` or ``SEIExportSensor`` return it.

    All other arguments: :class:`SEIExportOperator`. In a folder, the file is named after family and id.
    """

    template_fields: Sequence[str] = ("family", "export_id", "verify_size", *SEIDeliveryOperator.template_fields)

    def __init__(
        self,
        *,
        family: str,
        export_id: str,
        verify_size: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.family = family
        self.export_id = export_id
        self.verify_size = verify_size
        with airflow_errors():
            if is_constant(family):
                get_family(family)
            if is_constant(export_id):
                checked_export_id(export_id)
            if is_constant(verify_size):
                checked_flag(verify_size, "verify_size")

    def execute(self, context: Context) -> dict[str, Any]:
        """Read the export's state and deliver its file."""
        destination = self.checked_destination()
        with airflow_errors():
            verify_size = checked_flag(self.verify_size, "verify_size")
        export = self.hook.get_export(self.family, self.export_id)
        settings = self.hook.settings
        subject = Subject(
            family=export.family,
            org_identifier=settings.org_identifier,
            project_identifier=settings.project_identifier,
        )
        self.begin(context, subject, get_family(export.family).insights_page)
        delivered = self.hook.download_export(export, destination, verify_size=verify_size)
        return self.result(context, delivered, export=export)
