"""What the operators share: the connection, creating an export once, waiting for it, and delivering its file."""

from __future__ import annotations

import inspect
import logging
import random
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from airflow.providers.common.compat.sdk import AirflowException, BaseOperator

from airflow_provider_sei.delivery.destination import COLUMN_ARGUMENTS, FIELDS, Destination
from airflow_provider_sei.exceptions import SEIArgumentError, SEIError, SEINotFoundError
from airflow_provider_sei.links import SEIInsightsLink, SEIObjectLink, console_url, insights_url
from airflow_provider_sei.periods import run_dates
from airflow_provider_sei.protocol.arguments import (
    REUSED_FAILED,
    is_missing,
    parse_boolean,
    parse_choice,
    parse_export_id,
    parse_names,
    parse_number,
)
from airflow_provider_sei.protocol.export_request import REQUEST_FIELDS, ExportRequest, check_request
from airflow_provider_sei.protocol.families import did_you_mean, get_family

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_sei.delivery.pipeline import DeliveryResult
    from airflow_provider_sei.hooks.sei import SEIHook
    from airflow_provider_sei.protocol.exports import Export
    from airflow_provider_sei.protocol.waiting import WaitPlan

CONNECTION_FIELDS = ("sei_conn_id", "project_identifier", "org_identifier", "account_id", "auth_header")
MAX_SECONDS = 366 * 24 * 60 * 60.0  # Airflow cannot handle dates that are much later
OPTIONS: dict[str, Callable[..., Any]] = {
    "create_jitter": partial(parse_number, least=0, most=24 * 60 * 60.0),
    "reused_failed": partial(parse_choice, choices=REUSED_FAILED),
    "wait_timeout": partial(parse_number, least=0, most=MAX_SECONDS),
    "poll_interval": lambda value, field: (
        None if value is None else parse_number(value, field, least=1, most=MAX_SECONDS)
    ),
    "periods_ago": partial(parse_number, least=-1, most=1000, whole=True),
    **dict.fromkeys(("deferrable", "verify_size", "verify_rows", "fail_on_failed_teams"), parse_boolean),
}
"""Parsers of arguments that are no templates."""
# No templates either; parsed with the destination.
_FORM = ("layout", "compression", "overwrite", "empty", *COLUMN_ARGUMENTS)
_NO_TEMPLATES = {*OPTIONS, *_FORM, "download_timeout", "trigger_rule", "kwargs"}
_DISTINGUISHES = {
    "period": ("date_start", "date_end", "periods_ago", "export_id"),
    **dict.fromkeys(("date_start", "date_end"), ("periods_ago", "export_id")),
    "team_id": ("collection_id", "scope", "export_id"),
    "family": ("report_type", "kind"),
    "scope": (*CONNECTION_FIELDS, "manager_email_id", "extra_body"),
    "manager": ("manager_email_id", "scope"),
    **{name.partition("_")[0]: (name,) for name in CONNECTION_FIELDS},
}
"""The arguments, besides that of its own name, whose values a field of a destination distinguishes."""
_HIDDEN = {*CONNECTION_FIELDS, "manager_email_id", "scope", "extra_body", "created_by"}  # perhaps personal data
_DELIVERED = ("uri", "path", "conn_id", "destination", "bytes", "rows", "sha256", "written")
_PER_INSTANCE = re.compile(r"\{[{%][^}]*\b(?:ti|task|task_instance)\b")
_Kind = TypeVar("_Kind", bound=type)
log = logging.getLogger("airflow_provider_sei")
_STORE_KEY = "sei_export"
_MAX_PARTITION_KEY = 250
_GRACE = 300.0  # seconds after the deadline until Airflow itself ends a deferral whose triggerer did not


def complete(kind: _Kind, *others: Any) -> _Kind:
    """Decorate a public class: document all arguments, in the constructor's order, and render them in this order.

    Texts that its docstring does not have come from those of its bases, or of ``others``.
    """
    anything: Any = kind
    names, texts = list(inspect.signature(anything).parameters), dict[str, str]()
    for base in (*others, *reversed(kind.__mro__)):
        if base.__module__.startswith("airflow_provider_sei."):
            own, *fields = re.split(r"(?m)^(?=:\w)", inspect.cleandoc(base.__doc__ or ""))  # none with python -OO
            texts |= {text.split(":")[1]: text.strip() for text in fields}
    raises = [text for name, text in texts.items() if name.startswith("raises")]
    anything.__doc__ = "\n".join([own, *(texts.get(f"param {name}", "") for name in names), *raises])
    if issubclass(kind, BaseOperator):
        anything.template_fields = tuple(name for name in names if name not in _NO_TEMPLATES)
    return kind


def check_names(kind: type, given: Iterable[str], *others: type) -> None:
    """Raise an error for an argument that no constructor has, with the name that may have been meant."""
    bases = [base for base in (*kind.__mro__, *others) if "__init__" in vars(base) and base is not object]
    known = {name for base in bases for name in inspect.signature(vars(base)["__init__"]).parameters}
    for name in given:
        if name not in known and not name.startswith("_"):
            msg = f"{kind.__name__} has no argument {name!r}{did_you_mean(name, known)}"
            raise TypeError(msg)


def _describe(kind: Any, arguments: Mapping[str, Any]) -> str:
    """Return a task's documentation, in Markdown: what its class does, and to what."""
    given = {name: arguments.get(name) for name in kind.template_fields if name not in _HIDDEN}
    items = (f"- {name}: `{value}`" for name, value in given.items() if value and isinstance(value, str | int | list))
    return "\n".join(((inspect.getdoc(kind) or "").partition("\n")[0], "", *items))


class SEIBaseOperator(BaseOperator):
    """Base of the operators and the sensor: arguments, the connection, and waiting for an export.

    :param sei_conn_id: the Airflow connection, of type ``harness_sei``; the next four override its fields.
    :param project_identifier: Harness project. Legacy reports omit this and the next two if they are empty text.
    :param org_identifier: Harness organisation.
    :param account_id: Harness account.
    :param auth_header: header that carries the key: ``authorization``, ``x-api-key`` or ``SEI_API_KEY``.
    :param kwargs: the arguments of every Airflow operator: ``retries``, ``pool``, ``outlets``, ...
    """

    ui_color = "#e0f2f7"
    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...  # each argument is an attribute

    def __init__(self, **kwargs: Any) -> None:
        try:
            super().__init__(**kwargs)
        except (TypeError, AirflowException):
            check_names(type(self), kwargs)
            raise

    @classmethod
    def partial(cls, **kwargs: Any) -> Any:
        """Fix arguments of a mapped task, as Airflow does, but with a hint for a mistyped one."""
        check_names(cls, kwargs)
        return super().partial(**{"doc_md": _describe(cls, kwargs)} | kwargs)

    def _accept(self, arguments: Mapping[str, Any]) -> None:
        """Set the constructor's arguments, parsed if they are no templates, and check those that are known already."""
        for name, value in arguments.items():
            if name not in ("self", "kwargs", "__class__"):
                attribute = "output_format" if name == "output" else name  # "output" is Airflow's own attribute
                setattr(self, attribute, OPTIONS[name](value, field=name) if name in OPTIONS else value)
        self.doc_md = self.doc_md or _describe(type(self), arguments)
        for name, parse in _TEMPLATES.items():
            if name in arguments and is_known(arguments[name]):
                parse(arguments[name])
        if "metric_groups" in arguments:  # it creates an export
            self._export: Export | None = None
            check_request({name: arguments[name] for name in REQUEST_FIELDS}, is_known)
        if "destination" in arguments:  # it delivers a file
            self._unrendered, self.sei_links, self._scope = self.destination, dict[str, str](), dict[str, str]()
            self._delivered: DeliveryResult | None = None
            parse_destination(vars(self), is_known)

    @cached_property
    def hook(self) -> SEIHook:
        """The hook, for workers."""
        from airflow_provider_sei.hooks.sei import SEIHook

        return SEIHook(**{name: getattr(self, name) for name in CONNECTION_FIELDS})

    def _execution_deadline(self, context: Mapping[str, Any]) -> float:
        """Return when ``execution_timeout`` ends this try, in epoch seconds; Airflow ignores it while deferred."""
        if self.execution_timeout is None:
            return time.time() + MAX_SECONDS
        started = getattr(context.get("ti"), "start_date", None)
        return (started.timestamp() if started else time.time()) + self.execution_timeout.total_seconds()

    def _defer_until_completed(self, plan: WaitPlan, passthrough: Mapping[str, Any] | None = None) -> NoReturn:
        from airflow_provider_sei.triggers.sei import SEIExportTrigger

        self.log.info("Waiting for %s export %s in the triggerer", plan.family, plan.export_id)
        waits, settings = ("family", "export_id", "started_at", "deadline", "poll_interval"), self.hook.settings
        fields = {name: getattr(plan, name) for name in waits}
        fields |= {name: getattr(settings, name) for name in ("project_identifier", "org_identifier", "auth_header")}
        fields["account_id"] = settings.account_id if settings.account_header else None
        trigger = SEIExportTrigger(**fields, sei_conn_id=self.sei_conn_id, passthrough=dict(passthrough or {}))
        timeout = timedelta(seconds=max(0.0, plan.deadline - time.time()) + _GRACE)
        self.defer(trigger=trigger, method_name="execute_complete", timeout=timeout)


def store_record(export: Export, context: Mapping[str, Any], record: dict[str, Any]) -> None:
    """Store what the next try is to know of an export."""
    if (store := context.get("task_state_store")) is not None:
        try:
            store.set(_STORE_KEY, record)
        except Exception:
            words = "Could not save in the task state store what became of export %s: a retry would not know"
            log.warning(words, export.export_id, exc_info=True)


def create_or_resume(
    hook: SEIHook, request: ExportRequest, context: Mapping[str, Any], record: Mapping[str, Any], reused_failed: str
) -> tuple[Export, bool]:
    """Return the export that an earlier try created, or create it; and whether its status is up to date.

    A retry resumes an export that is queued, processing or completed; after a failed or deleted one it creates another.
    """
    from airflow_provider_sei.protocol.exports import check_reused

    if "export_id" in record:
        try:
            export = hook.get_export(request.family.name, record["export_id"])
        except SEINotFoundError:
            hook.log.warning("Export %s of an earlier try no longer exists; creating it again", record["export_id"])
        else:
            if export.status.is_successful or not export.status.is_terminal:
                hook.log.info("Resuming %s of an earlier try (status: %s)", export.description, export.status_word)
                return replace(export, reused=record.get("reused")), True
            words = "Export %s of an earlier try is not usable (status: %s); creating it again"
            hook.log.warning(words, export.export_id, export.status_word)
    export = hook.submit(request)
    store_record(export, context, {**record, "export_id": export.export_id, "reused": export.reused})
    if not export.reused:
        keys = {"teamId": "team ", "orgTreeName": "organisation tree "}
        about = "".join(f" of {word}{request.scope[key]}" for key, word in keys.items() if key in request.scope)
        hook.log.info("Created %s%s, %s to %s", export.description, about, request.date_start, request.date_end)
        return export, False
    current = hook.get_export(export.family, export.export_id)
    words = "Reusing %s (created %s, status: %s, possibly another user's): identical requests return it for 30 minutes"
    created_at = current.created_at or "within the last 30 minutes"
    hook.log.info(words, export.description, created_at, current.status_word)
    try:
        check_reused(current, reused_failed, now=time.time())
    except SEIError as error:
        hook.explain(error, request.scope)
        raise
    return replace(current, reused=True), True


class SEIRequestOperator(SEIBaseOperator):
    """Base of the operators that create an export.

    :param family: ``productivity``, ``efficiency`` (DORA), ``sprint``, ``ba`` (business alignment) or ``ticket-data``.
    :param date_start: first day of the period, yyyy-MM-dd. If neither day is given, or both are rendered to nothing,
        the run's own period is exported: its partition key if that names a period, else its data interval, else the
        last full period of ``granularity`` (a month if there is none) before the run.
    :param date_end: last day of the period, inclusive.
    :param periods_ago: 0 is the run's own period, 1 the one before, and so on, to deliver again what may have been
        corrected since; -1 is the one that follows, from its first day to the day of the run. A name in the ``hive``
        layout, and ``{period}``, have the whole period.
    :param org_tree_name: the organisation tree to export.
    :param team_id: the team to export. The vendor advises exports of single teams.
    :param manager_email_id: e-mail address of a manager, to export only the teams of that manager. Names, logs and
        results have a pseudonym in its place, ``{manager}``; Airflow's rendered fields show the address.
    :param scope: further keys of the request's ``scope``, sent as written (``developerIds``, ``developerAttributes``).
    :param metric_groups: names of metric groups; the vendor advises them over long lists of metrics.
    :param metrics: names of single metrics; for efficiency, in place of groups.
    :param aggregation: ``mean``, for productivity perhaps others; for efficiency also ``median``, ``p90``, ``p95``.
    :param level: what a row is: ``developer`` or ``team`` (productivity), ``team`` or ``sprint``.
    :param granularity: ``weekly``, ``monthly``, ``quarterly``; also ``daily`` (ticket-data) or ``sprint``, in any case.
    :param file_format: ``csv``, or ``json`` (efficiency).
    :param export_compression: ``gzip`` asks the server to compress the file.
    :param computation_mode: ``STORY_POINTS`` or ``TICKETS`` (sprint).
    :param issue_statuses: workflow status names (ticket-data).
    :param terminal_date_column: ``issue_resolved_at`` or ``version_release_date`` (ticket-data).
    :param work_category_filter: ``BUGS``, ``FEATURES`` or both, to split the lead time by them, or ``ALL`` (efficiency,
        with ``lttc``).
    :param extra_body: merged into the finished request body, unchecked, for what the vendor adds next.
    :param reused_failed: if SEI reuses an older export that has failed: ``fail`` the task with the server's reason, or
        ``retry`` it (by the task's ``retries``; a new export is created once 30 minutes have passed).
    :param create_jitter: random delay in seconds, up to this many, before the create call, for many tasks that start
        together. A retry that resumes an export does not wait.
    """

    template_fields_renderers = {"scope": "json", "extra_body": "json"}  # noqa: RUF012 - Airflow's own declaration

    def _prepare(self, context: Mapping[str, Any], level: int = logging.INFO) -> tuple[ExportRequest, dict[str, Any]]:
        """Return the request, with the run's period if it has none, and the record of its export.

        Of an export that an earlier try of this task created for the same request, that has ``export_id`` and
        ``reused``: Airflow's task state store (3.3 and newer) survives retries and deferrals. Without it, a retry
        repeats the create call, and within 30 minutes SEI responds with the same export.
        """
        arguments = {name: getattr(self, name) for name in REQUEST_FIELDS}
        self._period = None
        if is_missing(self.date_start) and is_missing(self.date_end):
            dates, self._period = run_dates(context, self.granularity, periods_ago=self.periods_ago, level=level)
            arguments |= dates
        elif self.periods_ago:
            msg = "periods_ago counts back from the run's own period: omit date_start and date_end, or periods_ago"
            raise SEIArgumentError(msg, field="periods_ago")
        request = ExportRequest.from_arguments(**arguments)
        max_tries = getattr(context.get("ti"), "max_tries", None)
        fingerprint = request.fingerprints(self.hook.settings.source)["fingerprint"]
        record: dict[str, Any] = {"version": 1, "fingerprint": fingerprint, "max_tries": max_tries}
        if (store := context.get("task_state_store")) is not None:
            try:
                stored = store.get(_STORE_KEY)
                is_record = isinstance(stored, dict) and isinstance(stored.get("export_id"), str)
                record = stored if is_record and record.items() <= stored.items() else record
            except Exception:
                log.warning("Could not read the task state store; an earlier try's export is unknown", exc_info=True)
        return request, record

    def _create_delay(self, record: Mapping[str, Any]) -> float:
        if "export_id" in record:
            return 0.0
        delay: float = random.random() * self.create_jitter  # noqa: S311 - jitter, not a secret
        self.log.info("Creating the export in %.0f s (create_jitter)", delay)
        return delay

    def on_kill(self) -> None:
        """Log which export keeps running at the server: SEI has no call to cancel it."""
        if self._export is not None:
            words = "Killed. %s keeps running at the server: SEI has no call to cancel it. A retry resumes it"
            self.log.warning(words, self._export.description)
        super().on_kill()


class SEIDeliveryOperator(SEIBaseOperator):
    """Base of the operators that deliver a file.

    Asset events of the task's ``outlets`` carry the task's result and the requested scope.

    :param destination: a folder (with a slash at its end) or an object name, as ``ObjectStoragePath`` takes it, with an
        Airflow connection if the store needs one (``s3://aws_default@lake/sei/``), or a local path. A folder gets a
        file named after the request. The name may have fields in single braces: ``{family}``, ``{team_id}``,
        ``{org_tree_name}``, ``{date_start}``, ``{date_end}``, ``{period}``, ``{export_id}``, ``{account}``,
        ``{project}``, ``{org}``, ``{manager}``, ``{scope}``, ``{fingerprint}``.
    :param layout: name of the files in a folder. ``flat``: all in one folder, each named after its whole request.
        ``hive``: one in each folder of family, period and team, which query engines read as columns
        (``family=productivity/period=2024-01/team=456/productivity_3f9a1c2e.csv``, with ``{scope}``). The rest of the
        request is not in the name, so a changed one replaces the file: use separate destinations for such requests.
    :param compression: ``keep`` the file as the server sends it, or make it ``gzip`` or ``none``. The name's suffix
        always matches; an older object with the other suffix is removed. Of Parquet, its own codec: ``zstd`` (also
        ``keep``), ``snappy``, ``gzip`` or ``none``.
    :param overwrite: ``replace`` an existing object, ``skip`` writing if its content is the same, or ``fail`` if it
        exists.
    :param empty: a file without rows (0 bytes, or only a header): ``deliver`` it with a warning, ``skip`` the task, or
        ``fail`` it. An older object stays unless it is delivered.
    :param output: ``csv``, or ``parquet`` (extra ``[parquet]``), where documented metrics are numbers (empty, ``NaN``
        and an em dash are null), days are dates, and all else is text. A cell of another type fails the task.
    :param column_types: of Parquet, by name: ``text``, ``integer``, ``number``, ``boolean``, ``date``, ``timestamp``.
    :param column_names: for Parquet: ``keep`` the names, or ``snake`` (``PR_Merged`` is ``pr_merged``).
    :param expect_columns: the names of the delivered file's columns, in any order.
    :param on_schema_change: whether missing, new or renamed columns ``fail`` the task or ``warn`` in its log.
    :param asset_partitions: partition keys for the events of the task's outlets (Airflow 3.3 and newer).
    :param download_timeout: seconds for the whole download.
    """

    operator_extra_links = (SEIInsightsLink(), SEIObjectLink())

    def _parse_destination(self, context: Mapping[str, Any]) -> Destination:
        """Parse the destination; if it is the same for all instances of a mapped task, its fields must differ."""
        destination = parse_destination(vars(self))
        if getattr(context.get("ti"), "map_index", None) not in (None, -1):
            declared = self.dag.task_dict[self.task_id]
            fixed = getattr(declared, "partial_kwargs", {"destination": self._unrendered})  # in a mapped task group
            given = fixed.get("destination", self.dag.default_args.get("destination"))
            if isinstance(given, str) and not _PER_INSTANCE.search(given):
                check_mapped(destination, getattr(getattr(declared, "expand_input", None), "value", None))
        return destination

    def _set_scope(
        self, context: Mapping[str, Any], insights_page: str | None, fields: Mapping[str, str | None]
    ) -> None:
        """Set what lineage reports, also of a task that fails later, the Insights link, and the partition keys."""
        settings = self.hook.settings
        self._scope = {name: value for name, value in {**settings.source, **fields}.items() if value}
        if url := insights_url(settings, insights_page, self._scope.get("team_id")):
            self._set_link(context, SEIInsightsLink.xcom_key, url)
        self._partitions = parse_partitions(self.asset_partitions)

    def _set_link(self, context: Mapping[str, Any], key: str, url: str) -> None:
        self.sei_links[key] = url
        if ti := context.get("ti"):
            ti.xcom_push(key=key, value=url)

    def _build_result(
        self, context: Mapping[str, Any], delivered: DeliveryResult, export: Export | None = None
    ) -> dict[str, Any]:
        """Return the task's result, and add it to log, links, lineage and asset events. It has no personal data."""
        self._delivered = delivered
        verb = "Delivered" if delivered.written else "Unchanged"
        rows = f"{delivered.rows:,} row{'s' if delivered.rows != 1 else ''}"
        size = f"{delivered.bytes:,} bytes"
        self.log.info("%s %s: %s, %s, sha256 %s", verb, delivered.uri, rows, size, delivered.sha256)
        # A task that only downloads has not requested a period; the export's status has it.
        days = {name: self._scope.get(name) or getattr(export, name, None) for name in ("date_start", "date_end")}
        result = {
            **{name: getattr(delivered, name) for name in _DELIVERED},
            "export_id": getattr(export, "export_id", None),
            "family": self._scope.get("family"),
            **days,
            **{name: getattr(export, name, None) for name in ("reused", "created_at", "completed_at")},
            "columns": list(delivered.columns),
        }
        if url := console_url(delivered.uri):
            self._set_link(context, SEIObjectLink.xcom_key, url)
        if self.outlets:
            from airflow_provider_sei.assets import emit_asset_events

            extra = {name: value for name, value in result.items() if value is not None}
            emit_asset_events(context, self.outlets, self._scope | extra, self._partitions)
        return result

    def on_kill(self) -> None:
        """Interrupt a running download, so that it cleans up before the process is killed."""
        if "hook" in vars(self):
            self.hook.interrupt()
        super().on_kill()

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any]:
        """Return where the delivered object came from; called by OpenLineage, if it is installed."""
        from airflow_provider_sei.assets import lineage, scope_uri

        return lineage(scope_uri(self._scope) if self._scope else None, self._delivered)

    get_openlineage_facets_on_failure = get_openlineage_facets_on_complete  # nothing delivered, but what was to be read


def parse_destination(arguments: Mapping[str, Any], known: Callable[[object], bool] = lambda _: True) -> Destination:
    """Parse the arguments of a delivery, of which some may be missing; templates only if they are known."""
    given = {name: arguments[name] for name in _FORM if name in arguments}
    given["output"] = arguments.get("output_format", given.get("output", "csv"))
    file_format = arguments.get("file_format")
    if known(file_format):
        given["file_format"] = file_format
    url = arguments["destination"] if known([arguments["destination"], file_format]) else "/"
    return Destination.from_arguments(url, **given, timeout=arguments.get("download_timeout", 60 * 60))


def check_mapped(destination: Destination, over: object) -> None:
    """Check that tasks mapped over a dict (all combinations), a list of dicts, or the unknown, have an object each."""
    together = {name for one in over if isinstance(one, Mapping) for name in one} if isinstance(over, list) else set()
    groups = [{name} for name in over] if isinstance(over, Mapping) else [together or set(FIELDS)]
    fields = destination.fields
    named = {"destination"}.union(fields, *(_DISTINGUISHES.get(field, ()) for field in fields))
    if not (fields & {"fingerprint", "export_id"} or all(names & named for names in groups)):
        msg = f"destination {destination.url!r} is one object, which each instance of the mapped task would replace"
        msg += ": give a folder, with a slash at its end, or add a field that differs to the name, such as {team_id}"
        raise SEIArgumentError(msg, field="destination")


def parse_partitions(value: object) -> list[str]:
    """Return partition keys that Airflow accepts: what it rejects itself, it rejects after the delivery."""
    keys = list(parse_names(value, "asset_partitions"))
    if longest := max((len(key) for key in keys if len(key) > _MAX_PARTITION_KEY), default=0):
        msg = f"asset_partitions has a key of {longest} characters, more than the {_MAX_PARTITION_KEY} of Airflow"
        raise SEIArgumentError(msg, field="asset_partitions")
    return keys


def is_known(value: object) -> bool:
    """Return whether an argument has its final value when a DAG is parsed: no template, no other task's output."""
    if isinstance(value, str):
        return "{{" not in value and "{%" not in value
    if isinstance(value, Mapping):
        return all(map(is_known, value.values()))
    if isinstance(value, list | tuple | set):
        return all(map(is_known, value))
    return not hasattr(value, "resolve")


_TEMPLATES = {"family": get_family, "export_id": parse_export_id, "asset_partitions": parse_partitions}
"""Parsers of arguments that may be templates, for those that are known when the DAG is parsed."""
