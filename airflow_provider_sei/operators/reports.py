"""The operator for the synchronous reports of the legacy API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_sei.exceptions import airflow_errors
from airflow_provider_sei.operators.base import STAND_INS, is_constant, known_when_parsed
from airflow_provider_sei.operators.delivery import SEIDeliveryOperator

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_sei.protocol.reports import ReportSpec

# What a value that is still to be rendered is taken for when the others are checked.
_STAND_INS: dict[str, Any] = {
    **STAND_INS,
    "collection_id": "0",
    "efficiency_metrics": (),
    "identifier_fields": ("collectionId",),
}


class SEILegacyReportOperator(SEIDeliveryOperator):
    """Request a report of the legacy API and deliver it, in one synchronous call.

    The vendor keeps this API for older integrations. Large teams can time out there: ask for one team at a time.
    The task's result is a dict as ``SEIExportOperator``'s, without an export id; ``family`` is ``team-report`` or
    ``contributor-report``. An empty result is a file of 0 bytes, and a success.

    :param collection_id: the team; ``collectionId`` and ``teamRefId`` are one identifier and are both filled from it.
    :param date_start: first day of the period, yyyy-MM-dd. With neither day given, or both rendered to nothing, the
        run's own period is reported: its partition key where that names a period, else its data interval, else the last
        full month before the run. ``granularity`` has no say in it: it is the unit of rates within the period.
    :param date_end: last day of the period, included.
    :param report_type: ``team`` (a row a team, child teams included) or ``contributor`` (a row a developer).
    :param granularity: ``daily``, ``weekly`` or ``monthly``, the time unit of rates; ``None`` leaves it out.
    :param productivity_metrics: for a team report; an empty list means all, ``None`` leaves the part out.
    :param efficiency_metrics: likewise, for the DORA metrics. With neither given, the report has all metrics of both.
    :param calculation_type: for the efficiency part: ``MEAN`` (the vendor's default), ``MEDIAN``, ``P90`` or ``P95``.
    :param include_ratings: for a contributor report: add the rating columns.
    :param contributor_metrics: for a contributor report; empty means all.
    :param identifier_fields: which of ``collectionId`` and ``teamRefId`` to send, if not the documented ones.
    :param extra_body: merged into the finished request body without any check.

    All other arguments: :class:`SEIDeliveryOperator <airflow_provider_sei.operators.delivery.SEIDeliveryOperator>`.
    ``auth_header`` is ``x-api-key`` unless the connection says otherwise.
    """

    _REPORT_FIELDS = (
        *("collection_id", "date_start", "date_end", "report_type", "granularity", "productivity_metrics"),
        *("efficiency_metrics", "calculation_type", "include_ratings", "contributor_metrics", "identifier_fields"),
        "extra_body",
    )
    template_fields: Sequence[str] = (*_REPORT_FIELDS, *SEIDeliveryOperator.template_fields)
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
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.collection_id = collection_id
        self.date_start = date_start
        self.date_end = date_end
        self.report_type = report_type
        self.granularity = granularity
        self.productivity_metrics = productivity_metrics
        self.efficiency_metrics = efficiency_metrics
        self.calculation_type = calculation_type
        self.include_ratings = include_ratings
        self.contributor_metrics = contributor_metrics
        self.identifier_fields = identifier_fields
        self.extra_body = extra_body
        if is_constant(report_type):
            given = {name: getattr(self, name) for name in self._REPORT_FIELDS}
            with airflow_errors():
                _checked(known_when_parsed(given, _STAND_INS))

    def checked_report(self, context: Context) -> ReportSpec:
        """Return the request, checked after rendering, with the run's period if it has no days of its own."""
        from airflow_provider_sei.run_periods import with_run_period

        with airflow_errors():
            request = {name: getattr(self, name) for name in self._REPORT_FIELDS}
            return _checked(with_run_period(request, context))

    def execute(self, context: Context) -> dict[str, Any]:
        """Request the report and deliver the answer."""
        from airflow_provider_sei.assets import Subject
        from airflow_provider_sei.protocol.specs import fingerprint

        spec = self.checked_report(context)
        kind = f"{spec.report_type}-report"
        settings = self.hook.settings
        subject = Subject(
            family=kind,
            org_identifier=settings.org_identifier,
            project_identifier=settings.project_identifier,
            team_id=spec.collection_id,
            date_start=spec.date_start,
            date_end=spec.date_end,
        )
        self.begin(context, subject, "productivity")
        destination, name = self.place(
            kind,
            team_id=spec.collection_id,
            date_start=spec.date_start,
            date_end=spec.date_end,
            fingerprint=fingerprint([kind, spec.body]),
        )
        delivered = self.hook.download_report(spec, destination, name=name)
        return self.result(context, delivered)


def _checked(given: dict[str, Any]) -> ReportSpec:
    # Imported here: most DAG files have no legacy report.
    from airflow_provider_sei.protocol.reports import ReportSpec

    return ReportSpec.checked(**given)
