"""The API without HTTP: a call in, a response out, as the vendor's documents show them or as faults change them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from airflow_provider_sei.local_server.bodies import Body, content_disposition, with_faults
from airflow_provider_sei.local_server.datasets import csv_bytes, legacy_report, people
from airflow_provider_sei.local_server.faults import PEOPLE, ActiveFaults
from airflow_provider_sei.local_server.organisation import OrgTree, Team
from airflow_provider_sei.local_server.request_log import LegacyRecord, describe_file
from airflow_provider_sei.local_server.routing import ITEM_ALIASES, ApiError, Call, Response, Route
from airflow_provider_sei.local_server.settings import ServerSettings
from airflow_provider_sei.local_server.state import Export, Outcome, ServerState
from airflow_provider_sei.local_server.validation import check_create, check_legacy, json_object
from airflow_provider_sei.protocol.families import ExportFamily

_DEFAULT_PAGE_SIZE = 50
# TeamSearchParams of the OpenAPI document: searchKey is one of these words, searchValue the text to find.
_SEARCH_VALUES: dict[str, Callable[[dict[str, Any]], list[str]]] = {
    "name": lambda team: [team["name"]],
    "managerName": lambda team: team["teamManagers"],
    "orgTreeName": lambda team: [team["orgTree"]["name"]],
}
# These families answer lower-case statuses, errors as objects, another message about reuse, and a download object.
_WITH_DOWNLOAD_OBJECT = ("productivity", "sprint")
_WITHOUT_URL = ("ticket-data",)


def is_slow(state: ServerState, route: Route) -> bool:
    """Whether the answer may need a file that has to be made first, which must not block the event loop."""
    if route.operation == "status":
        export = state.store.get(route.family, route.item or "")
        return export is not None and export.status(state.clock()) == "completed"
    return route.operation in {"download", "legacy"}


def answer(state: ServerState, call: Call, faults: ActiveFaults) -> Response:
    """Do what ``call`` asks for and return the response, or raise 400 or 404."""
    family, operation = call.route.family, call.route.operation
    if operation in {"legacy", *PEOPLE}:
        return (_legacy if operation == "legacy" else _people)(state, call, faults)
    if family is None:
        return _json(_teams(state, call, faults))
    if operation == "create":
        return _create(state, call, family, faults)
    now = state.clock()
    if operation == "list":
        return _json(_export_list(state, call, state.store.of_family(family), now, faults))
    export = state.store.get(family, call.route.item or "")
    if export is None or (operation == "download" and export.status(now) != "completed"):
        raise ApiError(404, "Export not found")
    if operation == "status":
        return _json(_status(state, export, now, faults))
    export.downloads += 1
    csv, file = state.store.files(export)
    return _file(csv.body, file, state.store.filename(export), faults)


def _create(state: ServerState, call: Call, family: ExportFamily, faults: ActiveFaults) -> Response:
    body = json_object(call)
    check_create(state.settings, family, body)
    chosen = faults.get("outcome")
    export, reused = state.store.create(family, body, call.user, Outcome(**chosen) if chosen else None)
    return _json(_created(export, faults, reused=reused), 200 if reused else 202)


def _legacy(state: ServerState, call: Call, faults: ActiveFaults) -> Response:
    body = json_object(call)
    check_legacy(state.settings, body)
    name, file = legacy_report(body, state.organisation)
    record = LegacyRecord(request=body, **describe_file(name, file, file.body))
    state.request_log.legacy_reports.append(record)
    return _file(file.body, file.body, name, faults)


def timestamp(seconds: float) -> str:
    """Return ``seconds`` since the epoch in the vendor's format: ``2025-12-29T10:00:00Z``."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _json(value: Any, status: int = 200) -> Response:
    body = json.dumps(value, ensure_ascii=False).encode(errors="replace")
    return Response(status=status, headers={"Content-Type": "application/json"}, body=Body.of(body))


def _text(text: str, status: int = 200, content_type: str = "text/plain; charset=utf-8") -> Response:
    return Response(status=status, headers={"Content-Type": content_type}, body=Body.of(text.encode()))


def error_response(operation: str, status: int, message: str) -> Response:
    """Return an error in the format of its endpoint: plain text for legacy reports, otherwise JSON.

    Source: the vendor's OpenAPI document; errors about org trees and teams also have an ``errorId``.
    """
    if operation == "legacy":
        return _text(message, status)
    answer: dict[str, Any] = {"status": status, "error": HTTPStatus(status).phrase, "message": message}
    if any(word in operation for word in ("team", "tree", *PEOPLE)):
        answer["errorId"] = "e38c1f02-936d-4cf7-a63b-cc93189dbe60"
    return _json(answer, status)


def _created(export: Export, faults: ActiveFaults, *, reused: bool) -> dict[str, Any]:
    """Return the answer to a create request; like the vendor's, it has no status."""
    answer = {
        "exportId": export.export_id,
        "createdAt": timestamp(export.created_at),
        "createdBy": _created_by(export),
        "message": "Duplicate request - returning existing export",
    }
    if not reused:
        answer |= {"message": "Export created successfully", "metadata": _metadata(export)}
    elif export.family.name in _WITH_DOWNLOAD_OBJECT:
        answer["message"] = f"Using existing export with identical parameters created by {export.created_by.name}"
    return _changed(answer, faults)


def _status(state: ServerState, export: Export, now: float, faults: ActiveFaults) -> dict[str, Any]:
    answer = _export(state, export, now, faults)
    word, error = export.status(now), export.outcome.error
    if word == "completed":
        answer |= _download(state, export, faults)
    elif word == "failed" and error is not None:
        as_object = export.family.name in _WITH_DOWNLOAD_OBJECT and isinstance(error, str)
        answer["error"] = {"code": "EXPORT_FAILED", "message": error} if as_object else error
    elif word == "cancelled":
        answer["cancelledBy"] = {"userId": export.created_by.user_id, "name": export.created_by.name}
    return _changed(answer, faults)


def _export(state: ServerState, export: Export, now: float, faults: ActiveFaults) -> dict[str, Any]:
    scope = export.request["scope"]
    shown_scope = {key: scope[key] for key in ("orgTreeName", "teamId") if key in scope}
    if team := state.organisation.teams.get(str(scope.get("teamId", "")).removeprefix("team_")):
        shown_scope["teamName"] = team.name
    word = export.status(now)
    shown = faults.value("status_word", "word")
    if shown is None:
        shown = word if export.family.name in _WITH_DOWNLOAD_OBJECT else word.upper()
    answer: dict[str, Any] = {
        "exportId": export.export_id,
        "status": shown,
        "createdAt": timestamp(export.created_at),
        "createdBy": _created_by(export),
        "scope": shown_scope,
        "metadata": _metadata(export),
    }
    ended = export.ended_at(now)
    if ended is not None:
        answer[{"failed": "failedAt", "cancelled": "cancelledAt"}.get(word, "completedAt")] = timestamp(ended)
    return answer


def _created_by(export: Export) -> dict[str, str]:
    user = export.created_by
    return {"userId": user.user_id, "name": user.name, "email": user.email}


def _metadata(export: Export) -> dict[str, Any]:
    """Return the echo of the request: the level always as ``metricLevel``, groups under ``metrics``."""
    options = dict(export.request.get("options") or {})
    if "aggregationLevel" in options:
        options["metricLevel"] = options.pop("aggregationLevel")
    metrics = export.request.get("metricGroups") or export.request.get("metrics") or []
    return {"dateRange": export.request["dateRange"], "metrics": metrics, "options": options}


def _changed(answer: dict[str, Any], faults: ActiveFaults) -> dict[str, Any]:
    changes = dict(faults.value("fields", "changes", {}))
    if "export_id" in faults:
        changes["exportId"] = None
    return {key: value for key, value in (answer | changes).items() if key not in changes or value is not None}


def _named(name: str, faults: ActiveFaults) -> str:
    return str(faults.value("filename", "name", name))


def _url(state: ServerState, export: Export) -> str:
    path = export.family.item_path
    if state.settings.download_aliases:
        path = ITEM_ALIASES.get(export.family.name, path)
    # Relative to the base URL although it starts with a slash, and without the query: as documented.
    return f"/{path}/{export.export_id}/download"


def _download(state: ServerState, export: Export, faults: ActiveFaults) -> dict[str, Any]:
    key = "download" if export.family.name in _WITH_DOWNLOAD_OBJECT else "downloadUrl"
    url = _url(state, export)
    if other := faults.get("download_url"):
        key = {"absent": "", "download": "download", "downloadUrl": "downloadUrl"}.get(other["form"], key)
        url = _other_url(state.settings, url, **other)
    elif export.family.name in _WITHOUT_URL:
        key = ""
    if key != "download":
        return {key: url} if key else {}
    file = state.store.files(export)[1]
    name, size = _named(state.store.filename(export), faults), len(file) + faults.value("size_bytes", "delta", 0)
    download = {"url": url, "filename": name, "sizeBytes": size, "contentType": "text/csv"}
    return {"download": download | ({"compression": "gzip"} if file.is_gzip else {})}


def _other_url(settings: ServerSettings, url: str, form: str, origin: str) -> str:
    if form in {"with_identifiers", "both"}:
        url += f"?projectIdentifier={settings.project}&orgIdentifier={settings.org}"
    # Only the HTTP layer knows the server's origin: it replaces {origin}.
    start = {"absolute": "{origin}", "both": "{origin}", "foreign": origin.rstrip("/")}.get(form)
    return url if start is None else start + settings.base_path.rstrip("/") + url


def _export_list(state: ServerState, call: Call, exports: Sequence[Export], now: float, faults: ActiveFaults) -> Any:
    """Return the page of the list that ``call`` asks for, in the format of the fault ``shape`` if there is one."""
    found = _matching(call, exports, now)
    shape = faults.value("shape", "shape")
    limit = int(call.parameter("limit") or _DEFAULT_PAGE_SIZE)
    page = int(call.parameter("page") or 0)
    shown = 0 if shape in {"repeating", "endless"} else page
    # Unlike the status, a list has a downloadUrl in every family.
    items = [
        _export(state, export, now, faults)
        | ({"downloadUrl": _url(state, export)} if export.status(now) == "completed" else {})
        for export in found[shown * limit : (shown + 1) * limit]
    ]
    if shape == "endless":
        # Every page is full of exports that no other page has.
        some = items or [{"exportId": "exp_endless", "status": "COMPLETED"}]
        items = [some[n % len(some)] | {"exportId": f"exp_endless{page * limit + n}"} for n in range(limit)]
    total = 1_000_000_000 if shape in {"repeating", "endless", "always_more"} else len(found)
    pages = -(-total // limit)
    more = page + 1 < pages
    if shape == "_metadata":
        metadata = {"page_size": limit, "page": page, "has_next": more, "total_count": total}
        return {"exports": items, "_metadata": metadata}
    pagination = {"total": total, "limit": limit, "page": page, "totalPages": pages, "hasMore": more}
    other = {"bare": items, "other_key": {"data": items}, "no_pagination": {"exports": items}}
    return other.get(shape, {"exports": items, "pagination": pagination})


def _matching(call: Call, exports: Sequence[Export], now: float) -> list[Export]:
    word, team, user = (call.parameter(name) for name in ("status", "teamId", "createdBy"))
    dates = (call.parameter(name) for name in ("dateFrom", "dateTo"))
    earliest, latest = (datetime.fromisoformat(date).timestamp() if date else None for date in dates)

    def matches(export: Export) -> bool:
        return (
            (not word or export.status(now) == word.casefold())
            and (not team or export.request["scope"].get("teamId") == team)
            and (not user or export.created_by.user_id == user)
            and (call.parameter("scope") != "mine" or export.created_by == call.user)
            and (earliest is None or export.created_at >= earliest)
            and (latest is None or export.created_at <= latest)
        )

    keys: dict[str, Callable[[Export], Any]] = {
        "createdAt": lambda export: export.created_at,
        "completedAt": lambda export: export.ended_at(now) or 0.0,
        "status": lambda export: export.status(now),
    }
    key, descending = keys[call.parameter("sortBy", "createdAt")], call.parameter("sortOrder", "desc") == "desc"
    return sorted(filter(matches, exports), key=key, reverse=descending)


def _teams(state: ServerState, call: Call, faults: ActiveFaults) -> Any:
    shape = faults.value("shape", "shape")
    if call.route.operation == "search_teams":
        return _team_page(call, _search(state, json_object(call, required=False)), shape)
    if call.route.operation == "list_teams":
        leaves_only = call.parameter("leafTeamsOnly", "true") == "true"
        return _team_page(call, _summaries(state, leaves_only=leaves_only), shape)
    if call.route.operation == "org_tree_teams":
        return _hierarchy(state, call.route.item or "", shape)
    if call.route.operation == "search_org_trees":
        json_object(call, required=False)
    return _tree_page(state, call, shape)


def _page(call: Call, items: list[Any], number: str) -> tuple[list[Any], int, int]:
    page, size = int(call.parameter(number) or 0), int(call.parameter("pageSize") or _DEFAULT_PAGE_SIZE)
    return items[page * size : (page + 1) * size], page, size


def _people(state: ServerState, call: Call, faults: ActiveFaults) -> Response:
    """Return developers or their identities: all of them as CSV, or a page as JSON, by the Accept header."""
    kind, accept = call.route.operation, call.headers.get("Accept")
    header, *rows = people(state.organisation, kind)
    if accept == "text/csv":
        file = Body.of(csv_bytes([header, *rows]))
        return _file(file, file, f"{kind}.csv", faults)
    if accept != "application/json":
        raise ApiError(406, "Acceptable representations: [text/csv, application/json]")
    shown, page, size = _page(call, [dict(zip(header, row, strict=True)) for row in rows], "pageIndex")
    answer = {"records": shown, "totalRecords": len(rows), "pageIndex": page, "pageSize": size}
    return _json(_changed(answer, faults))


def _search(state: ServerState, body: dict[str, Any]) -> list[dict[str, Any]]:
    key, text = body.get("searchKey"), str(body.get("searchValue", "")).casefold()
    if key not in (None, *_SEARCH_VALUES):
        raise ApiError(400, f"searchKey '{key}' is not one of {', '.join(_SEARCH_VALUES)}")
    found = _summaries(state, leaves_only=body.get("leafTeamsOnly", True) is not False)
    if key is not None:
        found = [team for team in found if any(text in value.casefold() for value in _SEARCH_VALUES[key](team))]
    return found[::-1] if body.get("sortOrder") == "desc" else found


def _summaries(state: ServerState, *, leaves_only: bool) -> list[dict[str, Any]]:
    return [
        {
            "id": team.ref_id,
            "refId": team.ref_id,
            "parentRefId": team.parent_ref_id,
            "name": team.name,
            "displayName": team.name,
            "status": "ACTIVE",
            "teamManagers": [f"Manager of {team.name}"],
            "developerCount": sum(len(leaf.developers) for leaf in team.leaves()),
            "integrations": [],
            "orgTree": _tree(state, tree),
            "leaf": team.is_leaf,
        }
        for tree in state.organisation.trees
        for team in tree.root.walk()
        if team.is_leaf or not leaves_only
    ]


def _tree(state: ServerState, tree: OrgTree) -> dict[str, Any]:
    identifiers = {"orgIdentifier": state.settings.org, "projectIdentifier": state.settings.project}
    return {"id": tree.tree_id, "name": tree.name, **identifiers}


def _team_page(call: Call, items: list[Any], shape: str | None) -> Any:
    """Return one page of teams in the format of ``PaginatedResponseTeamSummary``."""
    shown, page, size = _page(call, items, "page")
    pages = -(-len(items) // size)
    if shape:
        return shown if shape == "bare" else {"records": shown}
    position = {"totalItems": len(items), "pageIndex": page, "pageSize": size, "totalPages": pages}
    return {"items": shown, **position, "hasNext": page + 1 < pages, "hasPrevious": page > 0}


def _tree_page(state: ServerState, call: Call, shape: str | None) -> Any:
    """Return one page of org trees in the format of ``ListResponseDTOOrgTreeResponseDTO``."""
    trees = [
        _tree(state, tree)
        | {"rootTeamRefId": tree.root.ref_id, "teamCount": len(list(tree.root.walk()))}
        | {"access": True, "createdByEmail": "jane.smith@company.example"}
        for tree in state.organisation.trees
    ]
    shown, page, size = _page(call, trees, "pageIndex")
    answer = {"records": shown, "totalCount": len(trees), "pageIndex": page, "pageSize": size}
    return shown if shape == "bare" else answer


def _hierarchy(state: ServerState, tree_id: str, shape: str | None) -> Any:
    trees = {str(tree.tree_id): tree for tree in state.organisation.trees}
    if tree_id not in trees:
        raise ApiError(404, f"Organization tree not found: {tree_id}")
    root = trees[tree_id].root
    nodes = [_node(team) | {"children": []} for team in root.walk()]
    return _node(root) if shape is None else nodes if shape == "bare" else {"records": nodes}


def _node(team: Team) -> dict[str, Any]:
    return {
        "refId": team.ref_id,
        "name": team.name,
        "parentRefId": team.parent_ref_id,
        "leaf": team.is_leaf,
        "developerCount": sum(len(leaf.developers) for leaf in team.leaves()),
        "children": [_node(child) for child in team.children],
    }


def _file(csv: Body, file: Body, name: str, faults: ActiveFaults) -> Response:
    """Return the response with ``file``, which is ``csv`` or ``csv`` compressed."""
    only_rfc5987 = bool(faults.value("filename", "rfc5987"))
    disposition = content_disposition(_named(name, faults), only_rfc5987=only_rfc5987)
    content_type = "application/json" if ".json" in name else "text/csv"
    headers = {"Content-Type": content_type, "Content-Disposition": disposition}
    if "content_encoding" in faults:
        headers["Content-Encoding"] = "gzip"
    return Response(headers=headers, body=with_faults(csv, file, faults))


def fault_response(operation: str, url: str, faults: ActiveFaults) -> Response | None:
    """Return what a fault answers instead of the API, or ``None``; ``url`` is the default target of a redirect."""
    if redirect := faults.get("redirect"):
        return Response(status=redirect["status"], headers={"Location": redirect["to"] or url})
    fault = faults.get("answer")
    if fault is None:
        return None
    body, code = fault["body"], fault["status"]
    if fault["kind"] == "html":
        page = f"<!DOCTYPE html><html><head><title>{code}</title></head><body>{body or 'Sign in'}</body></html>"
        response = _text(page, code, "text/html; charset=utf-8")
    elif body is None and fault["kind"] == "auto":
        known = HTTPStatus(code)
        response = error_response(operation, code, known.description or known.phrase)
    else:
        response = _text(body, code) if isinstance(body, str) else _json(body, code)
    headers = dict(fault["headers"])
    if fault["retry_after"] is not None:
        headers["Retry-After"] = str(fault["retry_after"])
    if fault["content_type"]:
        headers["Content-Type"] = fault["content_type"]
    return replace(response, headers=response.headers | headers)
