"""Operators for the exports and reports of Harness SEI.

``SEIExportOperator`` does the whole job in one task. ``SEICreateExportOperator``, ``SEIExportSensor`` and
``SEIDownloadExportOperator`` are the same job in three. ``SEILegacyReportOperator`` is for the synchronous reports;
``SEIListTeamsOperator`` and ``SEIExportSummaryOperator`` stand before and behind the exports of many teams.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from math import inf
from typing import TYPE_CHECKING, Any

from airflow_provider_sei.deferral import (
    check_time_left,
    completed,
    deadline,
    defer_until_completed,
    defer_until_turn,
    look_once,
    pause_by_chance,
)
from airflow_provider_sei.exceptions import airflow_errors
from airflow_provider_sei.operators.base import SEIRequestOperator, checked_flag, is_constant
from airflow_provider_sei.operators.delivery import SEIDeliveryOperator
from airflow_provider_sei.operators.download import SEIDownloadExportOperator
from airflow_provider_sei.operators.reports import SEILegacyReportOperator
from airflow_provider_sei.operators.summary import SEIExportSummaryOperator
from airflow_provider_sei.operators.teams import SEIListTeamsOperator
from airflow_provider_sei.protocol.arguments import (
    checked_create_jitter,
    checked_reused_failed,
    checked_wait,
)
from airflow_provider_sei.protocol.specs import ExportSpec

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_sei.assets import Subject
    from airflow_provider_sei.protocol.exports import Export

__all__ = [
    "SEICreateExportOperator",
    "SEIDownloadExportOperator",
    "SEIExportOperator",
    "SEIExportSummaryOperator",
    "SEILegacyReportOperator",
    "SEIListTeamsOperator",
]


class SEICreateExportOperator(SEIRequestOperator):
    """Create an export and return its id.

    A retry goes on with the export of the try before (Airflow 3.3 and newer keep its id); and within 30 minutes the
    server answers an identical request with the export that it has already. So a retry does not make a second one.

    :param reused_failed: what to do when that older export has failed: ``fail`` the task with the server's reason, or
        ``retry`` it (with the task's ``retries``; a new export is made once 30 minutes have passed).
    :param create_jitter: seconds within which, at a moment drawn by chance, the export is created; for many tasks that
        begin together. A retry that has an export to go on with does not wait. 0 creates at once.

    All other arguments: :class:`SEIRequestOperator <airflow_provider_sei.operators.base.SEIRequestOperator>`.
    """

    template_fields: Sequence[str] = ("reused_failed", "create_jitter", *SEIRequestOperator.template_fields)

    def __init__(self, *, reused_failed: str = "fail", create_jitter: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.reused_failed = reused_failed
        self.create_jitter = create_jitter
        self._export: Export | None = None
        with airflow_errors():
            if is_constant(reused_failed):
                checked_reused_failed(reused_failed)
            if is_constant(create_jitter):
                checked_create_jitter(create_jitter)

    def execute(self, context: Context) -> str:
        """Create the export; its id, as text, is the task's result."""
        spec = self.checked_request(context)
        if jitter := self.checked_jitter(spec, context):
            pause_by_chance(self, jitter)
        return self.create_export(spec, context).export_id

    def checked_jitter(self, spec: ExportSpec, context: Context) -> float:
        """Return ``create_jitter``, checked after rendering; 0.0 where an earlier try has left an export."""
        from airflow_provider_sei.attempts import has_earlier

        with airflow_errors():
            checked_reused_failed(self.reused_failed)  # before a long wait, not after it
            jitter = checked_create_jitter(self.create_jitter)
        return 0.0 if jitter and has_earlier(self.hook, spec, context) else jitter

    def create_export(self, spec: ExportSpec, context: Context) -> Export:
        """Create the export that ``spec`` asks for, or go on with that of an earlier try."""
        from airflow_provider_sei.attempts import create_or_go_on

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
    without the header), ``sha256``, ``written`` (``False`` where ``overwrite="skip"`` has found the same content),
    ``export_id``, ``family``, ``date_start``, ``date_end``, ``reused``, ``created_at`` and ``completed_at``.

    :param wait_timeout: seconds to wait for the export, at most; ``execution_timeout`` ends the wait too.
    :param poll_interval: seconds between two looks at the export; by default they grow with the time waited.
    :param deferrable: whether to wait in the triggerer; ``False`` holds the worker.
    :param verify_size: whether the file must have the size that the export's status announces.
    :param create_jitter: as of :class:`SEICreateExportOperator`. Where deferrable, no worker is held meanwhile, and the
        task waits for its turn, too: all exports of the connection that wait so begin no faster than its
        ``calls_per_minute`` allows. ``wait_timeout`` counts from the create call, ``execution_timeout`` from the start.

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
        self.verify_size = verify_size
        with airflow_errors():
            self.deferrable = checked_flag(deferrable, "deferrable")
            checked_wait(*(value if is_constant(value) else 1.0 for value in (wait_timeout, poll_interval)))
            if is_constant(verify_size):
                checked_flag(verify_size, "verify_size")

    def execute(self, context: Context) -> dict[str, Any]:  # type: ignore[override]  # a result, not its parent's bare id
        """Create the export, and deliver it at once or after a deferral."""
        spec = self.checked_request(context)
        self.checked_destination()
        with airflow_errors():
            checked_wait(self.wait_timeout, self.poll_interval)
            checked_flag(self.verify_size, "verify_size")
        self.begin(context, self._subject_of(spec), spec.family.insights_page)
        if jitter := self.checked_jitter(spec, context):
            if self.deferrable:
                defer_until_turn(self, self.hook.sei_conn_id, spec.family.name, jitter, context)
            pause_by_chance(self, jitter)
        return self._create_and_deliver(context, spec)

    def execute_turn(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Create the export, now that the trigger has waited for its turn, and go on as ``execute`` does."""
        from airflow_provider_sei.protocol.events import read_turn

        spec = self.checked_request(context)
        self.begin(context, self._subject_of(spec), spec.family.insights_page)
        return self._create_and_deliver(context, spec, read_turn(event))

    def _create_and_deliver(self, context: Context, spec: ExportSpec, time_is_over: float = inf) -> dict[str, Any]:
        from airflow_provider_sei.protocol.waiting import WaitPlan

        check_time_left(time_is_over)
        with airflow_errors():
            wait_seconds, poll_interval = checked_wait(self.wait_timeout, self.poll_interval)
        started_at = time.time()
        export = self.create_export(spec, context)
        plan = WaitPlan(
            family=export.family,
            export_id=export.export_id,
            started_at=started_at,
            deadline=min(deadline(self, started_at, wait_seconds, context), time_is_over),
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
        from airflow_provider_sei.protocol.events import read_event

        spec = self.checked_request(context)
        # First of all: the lineage of a failed task tells what was to be read, too.
        self.begin(context, self._subject_of(spec), spec.family.insights_page)
        with airflow_errors():
            export = self._export = read_event(event)
        return self._deliver(context, spec, export, reused=export.reused)

    def _subject_of(self, spec: ExportSpec) -> Subject:
        from airflow_provider_sei.assets import Subject

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
        for warning in spec.contradictions(export):
            self.log.warning("%s", warning)
        settings = self.hook.settings
        destination, name = self.place(
            spec.family.name,
            org_tree_name=spec.scope.get("orgTreeName"),
            team_id=spec.scope.get("teamId"),
            date_start=spec.date_start,
            date_end=spec.date_end,
            fingerprint=spec.fingerprint(
                org_identifier=settings.org_identifier, project_identifier=settings.project_identifier
            ),
        )
        verify_size = checked_flag(self.verify_size, "verify_size")
        delivered = self.hook.download_export(export, destination, name=name, verify_size=verify_size)
        return self.result(context, delivered, export=export, reused=reused)
