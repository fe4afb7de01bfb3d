"""The hook: the export API as method calls, for operators and for ``@task`` functions."""

from __future__ import annotations

import math
import random
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import replace
from functools import cached_property, partial
from itertools import cycle, islice
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook

from airflow_provider_sei.assets import report_lineage, scope_uri
from airflow_provider_sei.connection import field_behaviour, form_widgets, read_settings
from airflow_provider_sei.delivery.destination import FIELDS, Destination
from airflow_provider_sei.delivery.pipeline import DeliveryResult, ExpectedFile, check_destination, deliver
from airflow_provider_sei.exceptions import (
    SEIAuthError,
    SEIBadRequestError,
    SEIDownloadError,
    SEIError,
    SEIExportFailedError,
    SEIFileError,
    SEINotFoundError,
    SEIResponseError,
    SEIReusedExportFailedError,
)
from airflow_provider_sei.protocol import exports, listing, teams
from airflow_provider_sei.protocol.arguments import is_missing, parse_number, parse_reference_data
from airflow_provider_sei.protocol.export_request import ExportRequest, fingerprint
from airflow_provider_sei.protocol.exports import Export
from airflow_provider_sei.protocol.families import FAMILIES, ExportFamily, get_family
from airflow_provider_sei.protocol.http import Call, HttpRequest
from airflow_provider_sei.protocol.listing import Page
from airflow_provider_sei.protocol.report_request import ReportRequest
from airflow_provider_sei.protocol.retry import Backoff
from airflow_provider_sei.protocol.settings import SEISettings
from airflow_provider_sei.protocol.teams import Record, Team
from airflow_provider_sei.protocol.waiting import ExportWait, WaitOutcome, WaitPlan

if TYPE_CHECKING:
    from airflow_provider_sei.transports.sync import RequestsTransport, StreamedBody

_TRIES = Backoff(base=2.0)  # of a download
_ONE_TRY = Backoff(attempts=1)
_Prepared = tuple[AbstractContextManager[Any], Destination, ExpectedFile]  # for one try of a download
_ABOUT_REQUESTS = (SEIBadRequestError, SEINotFoundError, SEIExportFailedError, SEIReusedExportFailedError)
_SCOPE_KEYS = {"team_id": "teamId", "collection_id": "collectionId", "org_tree_name": "orgTreeName"}
_NOT_SERVED = (400, 403, 404, 405, 501)


class _Interruption(BaseException):
    """Ends a download from within; not an ``Exception``, so that nothing handles it as an error of the download."""


class SEIHook(BaseHook):
    """Call the export API of Harness SEI.

    All methods raise the errors of :mod:`airflow_provider_sei.exceptions`. Calls have timeouts and are retried if that
    can help. The hook is for workers; the triggerer has its own transport.

    :param sei_conn_id: the Airflow connection, of type ``harness_sei``.
    :param project_identifier: Harness project; overrides the connection's.
    :param org_identifier: Harness organisation; overrides the connection's.
    :param account_id: Harness account; overrides the connection's.
    :param auth_header: header that carries the key; overrides the connection's.
    """

    conn_name_attr = "sei_conn_id"
    default_conn_name = "sei_default"
    conn_type = "harness_sei"
    hook_name = "Harness SEI"
    # Airflow 2.11 to 3.1 look for these two in the class itself, not in its bases.
    get_connection_form_widgets = staticmethod(form_widgets)
    get_ui_field_behaviour = staticmethod(field_behaviour)

    def __init__(
        self,
        sei_conn_id: str = default_conn_name,
        *,
        project_identifier: str | None = None,
        org_identifier: str | None = None,
        account_id: str | None = None,
        auth_header: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.sei_conn_id = sei_conn_id
        names = {"project_identifier": project_identifier, "org_identifier": org_identifier}
        self._thread_id: int | None = None  # of the download in progress
        self._give_up_at = math.inf  # on the clock of time.monotonic
        self._overrides = {**names, "account_id": account_id, "auth_header": auth_header}

    @cached_property
    def settings(self) -> SEISettings:
        """The parsed connection, with this hook's overrides."""
        connection = self.get_connection(self.sei_conn_id)
        settings = read_settings(connection, connection.extra_dejson, **self._overrides)
        if warning := settings.base_url.warning:
            self.log.warning("%s", warning)
        return settings

    def get_conn(self) -> RequestsTransport:
        """Return the transport that makes this hook's calls."""
        return self._transport

    @contextmanager
    def time_limit(self, seconds: float) -> Iterator[None]:
        """Within the context, raise a call's error rather than pause for another try beyond that many seconds."""
        before, self._give_up_at = self._give_up_at, min(self._give_up_at, time.monotonic() + seconds)
        try:
            yield
        finally:
            self._give_up_at = before

    def _seconds_left(self) -> float:
        return self._give_up_at - time.monotonic()

    def create_export(self, **request: Any) -> Export:
        """Create an export, or get the identical one that the server created within the last 30 minutes.

        :param request: the arguments of :meth:`ExportRequest.from_arguments
            <airflow_provider_sei.protocol.export_request.ExportRequest.from_arguments>`: ``family``, ``date_start``,
            ``date_end``, ``team_id`` and so on.
        :return: the export; ``reused`` says whether it existed already (it may be another user's, and may have failed).
        """
        return self.submit(ExportRequest.from_arguments(**request))

    def submit(self, request: ExportRequest) -> Export:
        """Create the export of a parsed request; see :meth:`create_export`."""
        for warning in request.warnings:
            self.log.warning("%s", warning)
        settings, family = self.settings, request.family
        body = request.body(org_identifier=settings.org_identifier, project_identifier=settings.project_identifier)
        while True:
            try:
                export = self._transport.run(exports.create_call(family, body))
                break
            except SEIResponseError as error:
                if (other := family.alternate(error.status_code)) is None:
                    self.explain(error, request.scope)
                    raise
                self.log.warning("%s; trying %s", error, other.collection_path)
                family = other
        if export.level and request.level and export.level.casefold() != request.level.casefold():
            words = (
                "the server exports by %s, not by %s as requested: send the level under the key that it reads, with"
                " extra_body={'options': {...}}"
            )
            self.log.warning(words, export.level, request.level)
        return export

    def get_export(self, family: str, export_id: str, *, retry: bool = True) -> Export:
        """Return an export with its current status.

        :param retry: whether to retry if that can help; ``False`` is for callers that poll anyway.
        """
        call = exports.status_call(get_family(family), export_id)
        return self._transport.run(call, backoff=None if retry else _ONE_TRY)

    def wait_for_export(self, plan: WaitPlan) -> WaitOutcome:
        """Block until the export is completed or failed, or the deadline has passed; none of these raises an error."""
        wait = ExportWait(plan)
        while (outcome := self.poll_export(wait)) is None:
            self._pause(wait.pause(time.time(), random.random()))  # noqa: S311 - jitter, not a secret
        return outcome

    def poll_export(self, wait: ExportWait, known: Export | None = None) -> WaitOutcome | None:
        """Poll an export's status once, and log what is new; return how the wait ends, or ``None`` to go on.

        :param known: the export, if its status was read just now.
        """
        try:
            # Without retries: the wait itself retries, and has the deadline.
            export = known or self.get_export(wait.plan.family, wait.plan.export_id, retry=False)
            outcome = wait.on_status(export, time.time())
        except SEIError as error:
            outcome = wait.on_error(error, time.time())
        while wait.messages:
            self.log.info("%s", wait.messages.pop(0))
        return outcome

    def iter_exports(self, family: str, *, max_exports: int | None = None, **filters: Any) -> Iterator[Export]:
        """Iterate over the exports that the server lists, page by page.

        :param family: which family's exports.
        :param max_exports: at most this many; ``None`` lists all.
        :param filters: ``status``, ``scope``, ``team_id``, ``created_by``, ``date_from``, ``date_to``, ``limit``,
            ``page``, ``sort_by``, ``sort_order``, as of
            :class:`SEIListExportsOperator <airflow_provider_sei.operators.sei.SEIListExportsOperator>`.
        """
        most = None
        if not is_missing(max_exports):
            most = int(parse_number(max_exports, "max_exports", least=1, most=10**6, whole=True))
        return islice(self._iter_pages(get_family(family), listing.list_query(**filters)), most)

    def _iter_pages(self, family: ExportFamily, query: listing.Query) -> Iterator[Export]:
        pager: listing.Pager[Export] = listing.Pager(f"list {family.name} exports")
        pager.page = first = int(query["page"])
        while not pager.done:
            try:
                page = self._transport.run(listing.list_call(family, query, pager.page))
            except SEIResponseError as error:
                other, plain = family.alternate(error.status_code), listing.with_plain_dates(query)
                if pager.page == first and other:
                    self.log.warning("%s; trying %s", error, other.collection_path)
                    family = other
                elif pager.page == first and isinstance(error, SEIBadRequestError) and plain != query:
                    self.log.warning("%s; trying plain dates", error)
                    query = plain
                else:
                    raise
            else:
                yield from pager.take(page)
                if page.unreadable:
                    self.log.warning("%d records of the list have no usable exportId; left out", page.unreadable)

    def explain(self, error: SEIError, scope: Mapping[str, Any]) -> None:
        """Add to an error of the server the team and the tree that it does not name, and similar names that exist.

        :param scope: of the request, by the operators' names or by the vendor's.
        """
        remarks, similar, named = [str(error)], None, str(error).replace(f"answered {error.status_code}", "")
        for field, key in _SCOPE_KEYS.items() if isinstance(error, _ABOUT_REQUESTS) else ():
            if value := str(scope.get(field) or scope.get(key) or ""):
                found = ""
                if similar is None and not value.isdecimal():
                    found = similar = self.suggest(field, value)
                if found or not re.search(rf"(?<!\w){re.escape(value)}(?!\w)", named):
                    remarks.append(f"{field} was {value!r}{found}")
        error.args = ("; ".join(remarks),)

    def suggest(self, field: str, value: str) -> str:
        """Return ``": did you mean ...?"`` for the name of a tree or team, by one call whose own errors are ignored."""
        is_tree = field == "org_tree_name"
        call = teams.org_trees_page_call("", 0) if is_tree else teams.teams_page_call(None, 0, size=1000)
        with suppress(SEIError, AirflowNotFoundException):
            return teams.similar_name(self._transport.run(call, backoff=_ONE_TRY).items, value, is_tree=is_tree)
        return ""

    def list_teams(self, org_tree_name: str | None = None) -> list[Team]:
        """Return the leaf teams, of one organisation tree or of all.

        The vendor has three endpoints for this; the next one is tried if one is not available.
        """
        try:
            found: Sequence[Record] = self._all_records("list teams", partial(teams.teams_page_call, org_tree_name))
        except SEIResponseError as error:
            if org_tree_name is None or error.status_code not in _NOT_SERVED:
                raise
            self.log.info("%s; reading the organisation tree instead", error)
            [tree] = self._list_trees(org_tree_name)
            found = self._tree(tree)
        if left_out := teams.unreadable(found):
            self.log.warning("%d records of the list of teams have no usable refId; left out", left_out)
        return teams.leaf_teams(found, org_tree_name)

    def _list_trees(self, name: str | None) -> list[Record]:
        found = self._all_records("list organisation trees", partial(teams.org_trees_page_call, name))
        return teams.org_trees(found, name)

    def _tree(self, tree: Record) -> Sequence[Record]:
        self._pause(teams.PAUSE_BETWEEN_PAGES)
        return self._transport.run(teams.org_tree_teams_call(str(tree["id"])))

    def _all_records(self, description: str, call_for_page: Callable[[int], Call[Page[Record]]]) -> list[Record]:
        records: list[Record] = []
        pager: listing.Pager[Record] = listing.Pager(description, max_pages=teams.MAX_PAGES)
        while not pager.done:
            if pager.page:
                self._pause(teams.PAUSE_BETWEEN_PAGES)
            records += pager.take(self._transport.run(call_for_page(pager.page)))
        return records

    def download_export(self, export: Export, destination: Destination, *, verify_size: bool = True) -> DeliveryResult:
        """Deliver a completed export's file, verified: whole under its final name, or not at all.

        :param export: the export, as :meth:`get_export` returned it.
        :param destination: where to, and in which form; fields in its name are resolved with the export's status.
        :param verify_size: whether the file must have the size that its status announces.
        """
        known = None if export.summary else export  # a list has less than the status
        starts = cycle((0, -1))  # every other try leaves out the address in the status: it may lead to a page

        def prepare() -> _Prepared:
            nonlocal known
            found, known = known or self.get_export(export.family, export.export_id), None
            requests = exports.download_requests(found, destination.file_format)[next(starts) :]
            size = found.size_bytes if verify_size else None
            expected = ExpectedFile(description=found.description, export_id=found.export_id, size_bytes=size)
            fields = {name: getattr(found, name) for name in ("family", "export_id", "team_id", "org_tree_name")}
            # Whose data they are, the status says only of a team or a tree.
            scope = fingerprint([self.settings.source, {}]) if found.team_id or found.org_tree_name else None
            fields |= {**self.settings.destination_fields, "scope": scope}
            target = destination.resolve({**fields, "fingerprint": None, "manager": None})
            if "{" in target.url:  # only then must the period be known
                days = zip(("date_start", "date_end"), exports.export_period(found), strict=True)
                target = target.resolve(dict(days))
            return self._open_file(found, requests), target, expected

        # The key has been good for the status: a refusal may be that of a gateway that restarts.
        return self._deliver(prepare, destination, "download the export", {"family": export.family}, SEIAuthError)

    def download_report(self, request: ReportRequest, destination: Destination) -> DeliveryResult:
        """Request a legacy report and deliver its file, verified. 0 bytes are a success unless ``empty`` forbids it.

        :param request: the parsed request.
        :param destination: where to, and in which form; fields in its name are resolved with the request.
        """
        for warning in request.warnings:
            self.log.warning("%s", warning)
        scope = {"family": request.family, "team_id": request.collection_id}
        days = {"date_start": request.date_start, "date_end": request.date_end}
        fields = {**scope, **days, **self.settings.destination_fields, **request.fingerprints(self.settings.source)}
        target = destination.resolve({**dict.fromkeys(FIELDS), **fields})
        description, call = f"get the {request.description}", request.http_request()
        expected = ExpectedFile(description=request.description, may_be_empty=True)

        def prepare() -> _Prepared:
            return self._transport.stream(call, description, backoff=_ONE_TRY), target, expected

        return self._deliver(prepare, target, description, scope)

    def download_reference_data(
        self, kind: str, destination: Destination, *, org_tree_name: str | None = None, verify_rows: bool = True
    ) -> DeliveryResult:
        """Deliver a table that exports are joined with, verified. The arguments are ``SEIReferenceDataOperator``'s."""
        kind, tree_name = parse_reference_data(kind, org_tree_name)
        scope, source = {"family": kind, "org_tree_name": tree_name}, self.settings.source
        names = {"scope": fingerprint([source, {}]), "fingerprint": fingerprint([source, *scope.values()])}
        fields = {**dict.fromkeys(FIELDS), **scope, **self.settings.destination_fields, **names}
        target, description = destination.resolve(fields), f"get the table of {kind}"

        def prepare() -> _Prepared:
            is_counted = kind == "developers" and verify_rows
            min_rows = self._transport.run(teams.developer_count_call()) if is_counted else 0
            if kind == "teams":
                table = teams.hierarchy_csv([(tree, self._tree(tree)) for tree in self._list_trees(tree_name)])
                headers = {"content-length": str(len(table))}
                opened: Any = nullcontext(SimpleNamespace(headers=headers, chunks=lambda: iter([table])))
            else:
                opened = self._transport.stream(teams.people_request(kind), description, backoff=_ONE_TRY)
            return opened, target, ExpectedFile(description=f"the table of {kind}", min_rows=min_rows)

        return self._deliver(prepare, destination, description, scope)

    def _deliver(
        self,
        prepare: Callable[[], _Prepared],
        destination: Destination,
        description: str,
        scope: Mapping[str, str | None],
        *may_pass: type[SEIError],
    ) -> DeliveryResult:
        """Deliver a file in a bounded number of tries, each from the start, all within the destination's timeout."""
        from tenacity import Retrying

        from airflow_provider_sei.transports._common import retry_arguments

        check_destination(destination)
        arguments = retry_arguments(_TRIES, self._seconds_left, may_pass=may_pass)
        self._thread_id = threading.get_ident()
        try:
            with self.time_limit(destination.timeout):
                for attempt in Retrying(sleep=self._pause, **arguments):
                    with attempt:
                        opened, target, expected = prepare()
                        with opened as body:
                            target = replace(target, timeout=max(0.0, self._seconds_left()))
                            delivered = deliver(body, target, expected, clock=time.monotonic)
        except _Interruption:
            # Whether it had been published already is not known here.
            msg = f"interrupted, because the task is being terminated: could not {description}"
            raise SEIDownloadError(msg) from None
        except SEIResponseError as error:
            self.explain(error, {"collection_id": scope.get("team_id")})
            raise
        finally:
            self._thread_id = None
        report_lineage(self, scope_uri({**self.settings.source, **scope}), delivered)
        return delivered

    @contextmanager
    def _open_file(self, export: Export, requests: list[HttpRequest]) -> Iterator[StreamedBody]:
        """Open the file at the first place that does not refuse it."""
        description = f"download {export.description}"
        with ExitStack() as stack:
            for number, request in enumerate(requests, 1):
                stream = self._transport.stream(request, description, export_id=export.export_id, backoff=_ONE_TRY)
                try:
                    body = stack.enter_context(stream)
                    break
                except SEIResponseError as error:
                    if not error.retryable and number < len(requests):
                        self.log.warning("%s; trying %s", error, requests[number].path)
                        reason = str(error).replace(f": could not {description}", "")
                        description += f" from {requests[number].path}, nor from its other address ({reason})"
                    elif isinstance(error, SEINotFoundError):
                        # The vendor also answers 404 for a file that is not there yet.
                        msg = f"{error}; its status said completed, so the file may not be there yet, or not any more"
                        raise SEIFileError(msg, status_code=error.status_code, export_id=export.export_id) from error
                    else:
                        raise
            yield body

    def interrupt(self) -> None:
        """Interrupt a download that is running in this thread, by an exception; for signal handlers.

        The download cleans up and raises :class:`SEIDownloadError <airflow_provider_sei.exceptions.SEIDownloadError>`.
        Without one, nothing happens. Nothing is logged here, because the signal may have interrupted a log call.
        """
        if self._thread_id == threading.get_ident():
            self._thread_id = None
            raise _Interruption

    def test_connection(self) -> tuple[bool, str]:
        """List one export, without retries because a user is waiting."""
        family, remark = next(iter(FAMILIES.values())), ""
        try:
            remark = f"; {warning}" if (warning := self.settings.base_url.warning) else ""
            self._transport.run(listing.list_call(family, listing.list_query(limit=1)), backoff=_ONE_TRY)
        except (SEIError, AirflowNotFoundException) as error:
            # The form's button tests under a made-up id.
            return False, str(error).removeprefix(f"connection {self.sei_conn_id!r}: ") + remark
        return True, f"{self.settings.base_url.text} responds, and the API key may list exports{remark}"

    @cached_property
    def _transport(self) -> RequestsTransport:
        from airflow_provider_sei.transports.sync import RequestsTransport  # DAG files do not need requests

        return RequestsTransport(self.settings, sleep=self._pause, seconds_left=self._seconds_left)

    def _pause(self, seconds: float) -> None:
        time.sleep(seconds)
