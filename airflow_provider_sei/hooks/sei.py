"""The hook: the export API in method calls, for operators and for ``@task`` functions."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook

from airflow_provider_sei.connection import sync_settings
from airflow_provider_sei.connection_form import field_behaviour, form_widgets
from airflow_provider_sei.exceptions import airflow_errors
from airflow_provider_sei.protocol import exports, listing, teams
from airflow_provider_sei.protocol.errors import (
    SEIError,
    SEIRejectedError,
    SEIResponseError,
    SEIUnreadableError,
)
from airflow_provider_sei.protocol.exports import Export
from airflow_provider_sei.protocol.families import FAMILIES, ExportFamily, get_family
from airflow_provider_sei.protocol.messages import Call
from airflow_provider_sei.protocol.reports import ReportSpec
from airflow_provider_sei.protocol.retry import Backoff
from airflow_provider_sei.protocol.settings import SEISettings
from airflow_provider_sei.protocol.specs import ExportSpec
from airflow_provider_sei.protocol.teams import Team
from airflow_provider_sei.protocol.waiting import ExportWait, WaitOutcome, WaitPlan

if TYPE_CHECKING:
    from airflow_provider_sei.delivery.deliver import Delivered
    from airflow_provider_sei.delivery.destination import Destination
    from airflow_provider_sei.hooks.downloads import Downloads
    from airflow_provider_sei.transports.sync import RequestsTransport

T = TypeVar("T")
_Query = tuple[tuple[str, str], ...]

_ONE_TRY = Backoff(attempts=1)
_WRONG_PATH = (404, 405)
_NOT_SERVED = (400, 403, *_WRONG_PATH, 501)


class SEIHook(BaseHook):
    """Talk to the export API of Harness SEI.

    Every method raises the errors of :mod:`airflow_provider_sei.exceptions`. Calls are bounded in time and tried again
    where that can help. The hook is for workers; the triggerer has a transport of its own.

    :param sei_conn_id: the Airflow connection, of type ``harness_sei``.
    :param project_identifier: Harness project, instead of the connection's.
    :param org_identifier: Harness organisation, instead of the connection's.
    :param account_id: Harness account, instead of the connection's.
    :param auth_header: header that carries the key, instead of the connection's.
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
        self._overrides = {
            "project_identifier": project_identifier,
            "org_identifier": org_identifier,
            "account_id": account_id,
            "auth_header": auth_header,
        }

    @cached_property
    def settings(self) -> SEISettings:
        """The connection, checked, with this hook's own values in place of the connection's."""
        with airflow_errors():
            return sync_settings(self.sei_conn_id).overridden(**self._overrides)

    def get_conn(self) -> RequestsTransport:
        """Return the transport that makes this hook's calls."""
        return self._transport

    @cached_property
    def _transport(self) -> RequestsTransport:
        # Imported here: a DAG file that only names this hook does not need requests.
        from airflow_provider_sei.transports.sync import RequestsTransport

        return RequestsTransport(self.settings, sleep=self._pause)

    def _pause(self, seconds: float) -> None:
        time.sleep(seconds)

    def _run(self, call: Call[T], backoff: Backoff | None = None) -> T:
        with airflow_errors():
            return self._transport.run(call, backoff=backoff)

    def create_export(self, **request: Any) -> Export:
        """Create an export, or get the identical one that the server has made within the last 30 minutes.

        :param request: what :meth:`ExportSpec.checked
            <airflow_provider_sei.protocol.specs.ExportSpec.checked>` takes: ``family``, ``date_start``, ``date_end``,
            ``team_id`` and so on.
        :return: the export; ``reused`` tells whether it existed already (it may then be somebody else's, and failed).
        """
        with airflow_errors():
            spec = ExportSpec.checked(**request)
            return self.submit(spec)

    def submit(self, spec: ExportSpec) -> Export:
        """Create the export that a checked request asks for; see :meth:`create_export`."""
        for warning in spec.warnings:
            self.log.warning("%s", warning)
        settings = self.settings
        body = spec.body(org_identifier=settings.org_identifier, project_identifier=settings.project_identifier)
        try:
            export = self._run(exports.create_call(spec.family, body))
        except SEIResponseError as error:
            if error.status_code not in _WRONG_PATH or spec.family.alternate_collection_path is None:
                raise
            self.log.warning("%s; trying %s", error, spec.family.alternate_collection_path)
            export = self._run(exports.create_call(spec.family, body, alternate=True))
        if export.level and spec.level and export.level.casefold() != spec.level.casefold():
            words = "the server exports by %s, not by %s as asked: set level_key to the key it reads"
            self.log.warning(words, export.level, spec.level)
        return export

    def get_export(self, family: str, export_id: str, *, retry: bool = True) -> Export:
        """Return an export's present state.

        :param retry: whether to ask again where that can help; ``False`` is for callers that look again anyway.
        """
        with airflow_errors():
            call = exports.status_call(get_family(family), export_id)
        return self._run(call, None if retry else _ONE_TRY)

    def wait_for_export(self, plan: WaitPlan) -> WaitOutcome:
        """Hold this process until the export is completed, dead, or out of time. It does not raise for any of these."""
        wait = ExportWait(plan)
        while True:
            try:
                # One try each: the wait itself is the retry, and knows the deadline.
                outcome = wait.saw(self.get_export(plan.family, plan.export_id, retry=False), time.time())
            except SEIError as error:
                outcome = wait.failed(error, time.time())
            for line in wait.news():
                self.log.info("%s", line)
            if outcome is not None:
                return outcome
            self._pause(wait.pause(time.time(), random.random()))  # noqa: S311 - jitter, not a secret

    def iter_exports(self, family: str, *, limit: int = listing.MAX_LIMIT, **filters: Any) -> Iterator[Export]:
        """Walk over all exports that the server lists, page by page.

        :param family: which family's exports.
        :param limit: exports a page, 1 to 100.
        :param filters: ``status``, ``scope`` (``all`` or ``mine``), ``team_id``, ``created_by``, ``date_from``,
            ``date_to``, ``sort_by``, ``sort_order``; see :func:`airflow_provider_sei.protocol.listing.list_query`.
        """
        with airflow_errors():
            known, query = get_family(family), listing.list_query(limit=limit, **filters)
        return self._walk(known, query, listing.PageWalk(int(dict(query)["limit"])))

    def _walk(self, family: ExportFamily, query: _Query, walk: listing.PageWalk) -> Iterator[Export]:
        while not walk.done:
            try:
                page = self._run(listing.list_call(family, listing.on_page(query, walk.page)))
            except SEIResponseError as error:
                # Settled by the first page: what has worked once stays.
                plain, other_path = listing.with_plain_dates(query), family.alternate_collection_path
                if walk.page == 0 and error.status_code in _WRONG_PATH and other_path:
                    self.log.warning("%s; trying %s", error, other_path)
                    family = replace(family, collection_path=other_path, alternate_collection_path=None)
                elif walk.page == 0 and isinstance(error, SEIRejectedError) and plain != query:
                    self.log.warning("%s; trying plain dates", error)
                    query = plain
                else:
                    raise
            else:
                yield from walk.take(page)

    def list_teams(self, org_tree_name: str | None = None) -> list[Team]:
        """Return the leaf teams, of one organisation tree or of all.

        The vendor has three endpoints for this; the next one is tried where one does not serve.
        """
        try:
            found = self._all_pages(lambda page: teams.teams_page_call(org_tree_name, page))
            return teams.leaf_teams(found, org_tree_name)
        except SEIResponseError as error:
            if org_tree_name is None or error.status_code not in _NOT_SERVED:
                raise
            self.log.info("%s; asking the organisation tree instead", error)
        trees = self._all_pages(lambda page: teams.org_trees_page_call(org_tree_name, page))
        with airflow_errors():
            tree_id = teams.org_tree_id(trees, org_tree_name)
        return teams.leaf_teams(self._run(teams.org_tree_teams_call(tree_id)), org_tree_name)

    def _all_pages(self, call: Callable[[int], Call[teams.TeamPage]]) -> list[Any]:
        records: list[Any] = []
        page, more = 0, True
        while more:
            if page:
                self._pause(teams.PAUSE_BETWEEN_PAGES)
            answer = self._run(call(page))
            fresh = [record for record in answer.records if record not in records[-teams.PAGE_SIZE :]]
            if answer.more and not fresh:
                msg = f"could not {call(page).what} to the end: the server says that more follow, but repeats a page"
                with airflow_errors():
                    raise SEIUnreadableError(msg)
            records += fresh
            page, more = page + 1, answer.more and bool(fresh)
        return records

    def download_export(
        self, export: Export, destination: Destination, *, name: str | None = None, verify_size: bool = True
    ) -> Delivered:
        """Deliver a completed export's file, verified: whole under its final name, or not at all.

        :param export: the export, as :meth:`get_export` returned it.
        :param destination: where to, and in which form.
        :param name: file name that stands for the request, for a destination that is a folder.
        :param verify_size: whether the file must have the size that its status announces.
        """
        # A list tells less than the status does.
        known = None if export.summary else export
        with airflow_errors():
            delivered = self._downloads.export(
                known,
                lambda: self.get_export(export.family, export.export_id),
                destination,
                name=name,
                verify_size=verify_size,
            )
        self._tell_lineage(export.family, None, delivered)
        return delivered

    def download_report(self, spec: ReportSpec, destination: Destination, *, name: str) -> Delivered:
        """Request a legacy report and deliver its file, verified. An empty report (0 bytes) is a success.

        :param spec: the checked request.
        :param destination: where to, and in which form.
        :param name: file name that stands for the request, for a destination that is a folder.
        """
        for warning in spec.warnings:
            self.log.warning("%s", warning)
        with airflow_errors():
            delivered = self._downloads.report(spec, destination, name=name)
        self._tell_lineage(f"{spec.report_type}-report", spec.collection_id, delivered)
        return delivered

    def interrupt(self) -> None:
        """Leave a download that is under way in this thread, by an exception in the midst of it; for signal handlers.

        It cleans up behind itself and ends with :class:`SEIDownloadError
        <airflow_provider_sei.exceptions.SEIDownloadError>`. Without one, nothing happens.
        """
        downloads: Downloads | None = self.__dict__.get("_downloads")
        if downloads is not None:
            downloads.interrupt()

    def _tell_lineage(self, family: str, team_id: str | None, delivered: Delivered) -> None:
        from airflow_provider_sei.assets import Subject
        from airflow_provider_sei.hooks.lineage import tell_lineage

        place = {name: getattr(self.settings, name) for name in ("org_identifier", "project_identifier")}
        tell_lineage(self, Subject(family=family, team_id=team_id, **place), delivered)

    @cached_property
    def _downloads(self) -> Downloads:
        from airflow_provider_sei.hooks.downloads import Downloads

        return Downloads(self._transport, sleep=self._pause, clock=time.monotonic)

    def test_connection(self) -> tuple[bool, str]:
        """Make one cheap authenticated call that creates nothing: list one export. It is tried once: somebody waits."""
        family = next(iter(FAMILIES.values()))
        try:
            self._run(listing.list_call(family, listing.list_query(limit=1)), _ONE_TRY)
        except (SEIError, AirflowNotFoundException) as error:
            # The button of the form tests under an id made up for it, which nobody knows.
            return False, str(error).removeprefix(f"connection {self.sei_conn_id!r}: ")
        return True, f"{self.settings.endpoint.base_url} answers, and the API key may list exports"
