"""What the operators share: the connection, and the request of an export."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_sei.exceptions import airflow_errors
from airflow_provider_sei.protocol.checks import checked_period, is_missing
from airflow_provider_sei.protocol.errors import SEIUsageError
from airflow_provider_sei.protocol.families import get_family
from airflow_provider_sei.protocol.periods import both_missing
from airflow_provider_sei.protocol.specs import ExportSpec

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_sei.hooks.sei import SEIHook

REQUEST_FIELDS = (
    *("family", "date_start", "date_end", "org_tree_name", "team_id", "scope", "metric_groups", "metrics"),
    *("aggregation", "level", "level_key", "granularity", "file_format", "export_compression", "computation_mode"),
    *("issue_statuses", "terminal_date_column", "extra_body"),
)
# What a value that only the run can tell is taken for when the others are checked.
STAND_INS = {"date_start": "0001-01-01", "date_end": "9999-12-31"}


class SEIBaseOperator(BaseOperator):
    """Base of the operators: everything that concerns the connection.

    :param sei_conn_id: the Airflow connection, of type ``harness_sei``.
    :param project_identifier: Harness project, instead of the connection's.
    :param org_identifier: Harness organisation, instead of the connection's.
    :param account_id: Harness account, instead of the connection's.
    :param auth_header: header that carries the key, instead of the connection's: ``authorization``, ``x-api-key`` or
        ``SEI_API_KEY``.
    """

    template_fields: Sequence[str] = (
        "sei_conn_id",
        "project_identifier",
        "org_identifier",
        "account_id",
        "auth_header",
    )
    ui_color = "#e0f2f7"

    def __init__(
        self,
        *,
        sei_conn_id: str = "sei_default",
        project_identifier: str | None = None,
        org_identifier: str | None = None,
        account_id: str | None = None,
        auth_header: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.sei_conn_id = sei_conn_id
        self.project_identifier = project_identifier
        self.org_identifier = org_identifier
        self.account_id = account_id
        self.auth_header = auth_header

    @cached_property
    def hook(self) -> SEIHook:
        """The hook, made on the worker."""
        from airflow_provider_sei.hooks.sei import SEIHook

        return SEIHook(
            self.sei_conn_id,
            project_identifier=self.project_identifier,
            org_identifier=self.org_identifier,
            account_id=self.account_id,
            auth_header=self.auth_header,
        )


class SEIRequestOperator(SEIBaseOperator):
    """Base of the operators that create an export: everything that the request says.

    What holds no template is checked when the DAG is parsed, the rest after rendering, before anything is sent.

    :param family: ``productivity``, ``efficiency`` (DORA), ``sprint``, ``ba`` (business alignment) or ``ticket-data``.
    :param date_start: first day of the period, yyyy-MM-dd. With neither day given, or both rendered to nothing, the
        run's own period is exported: its partition key where that names a period, else its data interval, else the last
        full period of ``granularity`` (months without one) before the run.
    :param date_end: last day of the period, included.
    :param org_tree_name: the organisation tree to export.
    :param team_id: the team to export. The vendor advises team-sized exports.
    :param scope: further keys of the request's ``scope``, sent as written (``managerEmailId``, ``developerIds``, ...).
    :param metric_groups: names of metric groups, the vendor's advice over long lists of metrics.
    :param metrics: names of single metrics.
    :param aggregation: ``mean``; for efficiency also ``median``, ``p90``, ``p95``.
    :param level: what a row stands for: ``developer`` or ``team`` (productivity), ``team`` or ``sprint``.
    :param level_key: key to send ``level`` under, instead of the family's (``aggregationLevel`` or ``metricLevel``).
    :param granularity: ``weekly``, ``monthly``, ``quarterly``; also ``daily`` (ticket-data) or ``sprint``, in any
        case.
    :param file_format: ``csv``, the only one.
    :param export_compression: ``gzip`` asks the server to compress the file.
    :param computation_mode: ``STORY_POINTS`` or ``TICKETS`` (sprint).
    :param issue_statuses: workflow status names (ticket-data).
    :param terminal_date_column: ``issue_resolved_at`` or ``version_release_date`` (ticket-data).
    :param extra_body: merged into the finished request body without any check, for what the vendor adds next.
    """

    template_fields: Sequence[str] = (*REQUEST_FIELDS, *SEIBaseOperator.template_fields)
    template_fields_renderers = {"scope": "json", "extra_body": "json"}  # noqa: RUF012 - Airflow's own declaration

    def __init__(
        self,
        *,
        family: str,
        date_start: str | None = None,
        date_end: str | None = None,
        org_tree_name: str | None = None,
        team_id: str | int | None = None,
        scope: Mapping[str, Any] | None = None,
        metric_groups: Sequence[str] | str | None = None,
        metrics: Sequence[str] | str | None = None,
        aggregation: str | None = None,
        level: str | None = None,
        level_key: str | None = None,
        granularity: str | None = None,
        file_format: str | None = None,
        export_compression: str | None = None,
        computation_mode: str | None = None,
        issue_statuses: Sequence[str] | str | None = None,
        terminal_date_column: str | None = None,
        extra_body: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.family = family
        self.date_start = date_start
        self.date_end = date_end
        self.org_tree_name = org_tree_name
        self.team_id = team_id
        self.scope = scope
        self.metric_groups = metric_groups
        self.metrics = metrics
        self.aggregation = aggregation
        self.level = level
        self.level_key = level_key
        self.granularity = granularity
        self.file_format = file_format
        self.export_compression = export_compression
        self.computation_mode = computation_mode
        self.issue_statuses = issue_statuses
        self.terminal_date_column = terminal_date_column
        self.extra_body = extra_body
        with airflow_errors():
            _check_constants({name: getattr(self, name) for name in REQUEST_FIELDS})

    def checked_request(self, context: Context) -> ExportSpec:
        """Return the request, checked after rendering, with the run's period if it has no days of its own."""
        from airflow_provider_sei.run_periods import with_run_period

        with airflow_errors():
            request = {name: getattr(self, name) for name in REQUEST_FIELDS}
            return ExportSpec.checked(**with_run_period(request, context, granularity=self.granularity))


def _check_constants(request: dict[str, Any]) -> None:
    """Check what is known at parse time; a value that is still to be rendered is taken to be right.

    Raises:
        SEIUsageError: a constant value cannot work.
    """
    known = known_when_parsed(request, STAND_INS)
    if known["family"] is None and request["family"] is not None:
        checked_period(known["date_start"], known["date_end"])
        return
    # Any one of these can turn out to say whose metrics, or which.
    if not all(is_constant(request[name]) for name in ("org_tree_name", "team_id", "scope", "extra_body")):
        known["team_id"] = known["team_id"] or "0"
    if not all(is_constant(request[name]) for name in ("metric_groups", "metrics", "extra_body")):
        known["metric_groups"] = known["metric_groups"] or get_family(known["family"]).metric_groups[:1]
    ExportSpec.checked(**known)


def known_when_parsed(request: Mapping[str, Any], stand_ins: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``request`` with stand-ins for what is still to be rendered, and for days that the run will tell.

    Raises:
        SEIUsageError: one day is given and the other is not.
    """
    known = {name: value if is_constant(value) else stand_ins.get(name) for name, value in request.items()}
    # A template beside no day may yet render to nothing, too.
    if all(is_missing(request[day]) or not is_constant(request[day]) for day in STAND_INS):
        known |= STAND_INS
    both_missing(*(known[day] for day in STAND_INS))
    return known


def checked_flag(value: object, field_name: str) -> bool:
    """Return ``value`` as a boolean; a rendered template is text.

    Raises:
        SEIUsageError: it is neither true nor false.
    """
    word = str(value).strip().casefold()
    if word not in ("true", "false"):
        msg = f"{field_name} must be true or false, not {value!r}"
        raise SEIUsageError(msg, field=field_name)
    return word == "true"


def is_constant(value: object) -> bool:
    """Return whether ``value`` is what it will be at run time: no template, and nothing from another task."""
    if isinstance(value, str):
        return "{{" not in value and "{%" not in value
    if isinstance(value, Mapping):
        return all(is_constant(item) for item in value.values())
    if isinstance(value, list | tuple | set):
        return all(is_constant(item) for item in value)
    return not hasattr(value, "resolve")
