"""The API itself: a call in, an answer out, no HTTP."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from airflow_provider_sei.local_server.answers import Answers, named
from airflow_provider_sei.local_server.body_checks import check_create, check_legacy, json_object
from airflow_provider_sei.local_server.calls import Call, RefusedCallError, Reply, Route, json_reply, text_reply
from airflow_provider_sei.local_server.clock import ServerClock
from airflow_provider_sei.local_server.exports import Export, ExportStore, Outcome
from airflow_provider_sei.local_server.faults import Hits
from airflow_provider_sei.local_server.file_answers import file_reply
from airflow_provider_sei.local_server.journal import Journal
from airflow_provider_sei.local_server.legacy import legacy_csv, legacy_filename
from airflow_provider_sei.local_server.lists import export_page, matching_exports
from airflow_provider_sei.local_server.organisation import Organisation
from airflow_provider_sei.local_server.settings import ServerSettings
from airflow_provider_sei.local_server.team_answers import TeamAnswers
from airflow_provider_sei.protocol.families import ExportFamily

__all__ = ["Service", "reply_instead"]


class Service:
    """Answers the calls of one server, from what it remembers."""

    def __init__(
        self,
        settings: ServerSettings,
        clock: ServerClock,
        organisation: Organisation,
        store: ExportStore,
        journal: Journal,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._organisation = organisation
        self._store = store
        self._journal = journal
        self._answers = Answers(settings, store, organisation)
        self._teams = TeamAnswers(settings, organisation)

    def takes_long(self, route: Route) -> bool:
        """Whether answering may have to make a file, which is better not done in the event loop."""
        if route.operation == "status":
            export = self._store.get(route.family, route.item or "")
            return export is not None and export.status(self._clock()) == "completed"
        return route.operation in {"download", "legacy"}

    def answer(self, call: Call, hits: Hits) -> Reply:
        """Do what ``call`` asks and return the answer.

        Raises:
            RefusedCallError: 400 for a bad body, 404 for what is not there or not ready.
        """
        family, operation = call.route.family, call.route.operation
        if operation == "legacy":
            return self._legacy(call, hits)
        if family is None:
            return json_reply(self._teams.answer(call, hits))
        if operation == "create":
            return self._create(call, family, hits)
        if operation == "list":
            return self._list(call, family, hits)
        export = self._store.get(family, call.route.item or "")
        now = self._clock()
        if export is None or (operation == "download" and export.status(now) != "completed"):
            raise RefusedCallError(404, "Export not found")
        if operation == "status":
            return json_reply(self._answers.status(export, now, hits))
        return self._download(export, hits)

    def _create(self, call: Call, family: ExportFamily, hits: Hits) -> Reply:
        body = json_object(call)
        check_create(self._settings, family, body)
        chosen = hits.get("outcome")
        outcome = Outcome(**chosen) if chosen else None
        export, reused = self._store.create(family, body, call.user, outcome)
        return json_reply(self._answers.created(export, reused=reused, hits=hits), 200 if reused else 202)

    def _list(self, call: Call, family: ExportFamily, hits: Hits) -> Reply:
        now = self._clock()
        found = matching_exports(call, self._store.of_family(family), now)

        def item(export: Export) -> dict[str, Any]:
            return self._answers.list_item(export, now, hits)

        return json_reply(export_page(call, found, item, (hits.get("shape") or {}).get("shape")))

    def _download(self, export: Export, hits: Hits) -> Reply:
        export.downloads += 1
        file = self._store.file(export)
        return file_reply(self._store.csv(export).body, file, self._answers.file_name(export, hits), hits)

    def _legacy(self, call: Call, hits: Hits) -> Reply:
        body = json_object(call)
        check_legacy(self._settings, body)
        file, filename = legacy_csv(body, self._organisation), legacy_filename(body)
        self._journal.add_legacy(body, filename, file)
        return file_reply(file.body, file.body, named(filename, hits), hits)


def reply_instead(hits: Hits, usual: Reply, address: str) -> Reply | None:
    """Return what a fault answers in place of the API, or ``None``.

    Args:
        hits: the faults of this call.
        usual: the vendor's own error answer of that status, for a fault without a body.
        address: where the call went; a redirect without a target leads there.
    """
    redirect = hits.get("redirect")
    if redirect:
        return Reply(status=redirect["status"], headers={"Location": redirect["to"] or address})
    fault = hits.get("answer")
    if fault is None:
        return None
    body, status = fault["body"], fault["status"]
    if body is None and fault["kind"] == "auto":
        reply = usual
    elif fault["kind"] == "html":
        page = f"<!DOCTYPE html><html><head><title>{status}</title></head><body>{body or 'Sign in'}</body></html>"
        reply = text_reply(page, status, "text/html; charset=utf-8")
    else:
        reply = text_reply(body, status) if isinstance(body, str) else json_reply(body, status)
    headers = dict(fault["headers"])
    if fault["retry_after"] is not None:
        headers["Retry-After"] = str(fault["retry_after"])
    if fault["content_type"]:
        headers["Content-Type"] = fault["content_type"]
    return replace(reply, headers=reply.headers | headers)
