"""What JSON answers look like, family by family, as the documents show them, and how faults change them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from airflow_provider_sei.local_server.clock import timestamp
from airflow_provider_sei.local_server.exports import Export, ExportStore
from airflow_provider_sei.local_server.fault_table import NASTY_FILENAMES
from airflow_provider_sei.local_server.faults import Hits
from airflow_provider_sei.local_server.organisation import Organisation
from airflow_provider_sei.local_server.routes import ITEM_ALIASES
from airflow_provider_sei.local_server.settings import ServerSettings

__all__ = ["Answers", "named"]


@dataclass(frozen=True)
class _Shape:
    """How the answers of one family differ from those of another."""

    upper_case: bool = True
    file: str | None = "downloadUrl"
    """The key that says where the file is: ``download``, ``downloadUrl`` or none."""
    reuse_message: str = "Duplicate request - returning existing export"
    object_errors: bool = False


_PER_USER = "Using existing export with identical parameters created by {}"
_SHAPES = {
    "productivity": _Shape(upper_case=False, file="download", reuse_message=_PER_USER, object_errors=True),
    "sprint": _Shape(upper_case=False, file="download", reuse_message=_PER_USER, object_errors=True),
    "ticket-data": _Shape(file=None),
}


class Answers:
    """Writes the answers of one server."""

    def __init__(self, settings: ServerSettings, store: ExportStore, organisation: Organisation) -> None:
        self._settings = settings
        self._store = store
        self._organisation = organisation

    def created(self, export: Export, *, reused: bool, hits: Hits) -> dict[str, Any]:
        """Return the answer to a create request; like the vendor's it has no ``status``."""
        shape = _SHAPES.get(export.family.name, _Shape())
        message = shape.reuse_message.format(export.created_by.name) if reused else "Export created successfully"
        answer = {
            "exportId": export.export_id,
            "createdAt": timestamp(export.created_at),
            "createdBy": _created_by(export),
            "message": message,
        }
        if not reused:
            answer["metadata"] = _metadata(export)
        return _with_faults(answer, hits)

    def status(self, export: Export, now: float, hits: Hits) -> dict[str, Any]:
        """Return the answer to a status request."""
        answer = self._common(export, now, hits)
        status, shape = export.status(now), _SHAPES.get(export.family.name, _Shape())
        if status == "completed":
            answer |= self._where_the_file_is(export, shape.file, hits)
        elif status == "failed" and export.outcome.error is not None:
            error = export.outcome.error
            as_object = shape.object_errors and isinstance(error, str)
            answer["error"] = {"code": "EXPORT_FAILED", "message": error} if as_object else error
        elif status == "cancelled":
            answer["cancelledBy"] = {"userId": export.created_by.user_id, "name": export.created_by.name}
        return _with_faults(answer, hits)

    def list_item(self, export: Export, now: float, hits: Hits) -> dict[str, Any]:
        """Return one entry of a list; unlike the status it has ``downloadUrl`` in every family."""
        item = self._common(export, now, hits)
        if export.status(now) == "completed":
            item["downloadUrl"] = self._url(export)
        return item

    def file_name(self, export: Export, hits: Hits) -> str:
        """Return the name of the export's file, nasty if so desired."""
        return named(self._store.filename(export), hits)

    def _common(self, export: Export, now: float, hits: Hits) -> dict[str, Any]:
        shape = _SHAPES.get(export.family.name, _Shape())
        status = export.status(now)
        word = (hits.get("status_word") or {}).get("word")
        answer: dict[str, Any] = {
            "exportId": export.export_id,
            "status": word if word is not None else status.upper() if shape.upper_case else status,
            "createdAt": timestamp(export.created_at),
            "createdBy": _created_by(export),
            "scope": self._scope(export),
            "metadata": _metadata(export),
        }
        ended = export.ended_at(now)
        if ended is not None:
            answer[{"failed": "failedAt", "cancelled": "cancelledAt"}.get(status, "completedAt")] = timestamp(ended)
        return answer

    def _scope(self, export: Export) -> dict[str, str]:
        scope = export.request["scope"]
        answer = {key: scope[key] for key in ("orgTreeName", "teamId") if key in scope}
        team = self._organisation.teams.get(str(scope.get("teamId", "")).removeprefix("team_"))
        return answer | ({"teamName": team.name} if team else {})

    def _url(self, export: Export) -> str:
        path = export.family.item_path
        if self._settings.download_aliases:
            path = ITEM_ALIASES.get(export.family.name, path)
        # Relative to the service endpoint although it starts with a slash, and without the query: as documented.
        return f"/{path}/{export.export_id}/download"

    def _where_the_file_is(self, export: Export, key: str | None, hits: Hits) -> dict[str, Any]:
        url = self._url(export)
        other = hits.get("download_url")
        if other:
            form = other["form"]
            key = {"absent": None, "download": "download", "downloadUrl": "downloadUrl"}.get(form, key or "downloadUrl")
            url = self._other_url(url, form, other["origin"])
        if key is None:
            return {}
        if key == "downloadUrl":
            return {"downloadUrl": url}
        size = len(self._store.file(export)) + (hits.get("size_bytes") or {"delta": 0})["delta"]
        name = self.file_name(export, hits)
        download = {"url": url, "filename": name, "sizeBytes": size, "contentType": "text/csv"}
        return {"download": download | ({"compression": "gzip"} if self._store.is_gzip(export) else {})}

    def _other_url(self, url: str, form: str, origin: str) -> str:
        identifiers = f"?projectIdentifier={self._settings.project}&orgIdentifier={self._settings.org}"
        based = self._settings.base_path.rstrip("/") + url
        # The server does not know under which name it is reached; HTTP puts its own origin in place of {origin}.
        forms = {
            "absolute": "{origin}" + based,
            "both": "{origin}" + based + identifiers,
            "with_identifiers": url + identifiers,
            "foreign": origin.rstrip("/") + based,
        }
        return forms.get(form, url)


def named(name: str, hits: Hits) -> str:
    """Return ``name``, or what the fault ``filename`` makes of it."""
    other = hits.get("filename")
    return NASTY_FILENAMES.get(other["name"], other["name"]) if other else name


def _created_by(export: Export) -> dict[str, str]:
    user = export.created_by
    return {"userId": user.user_id, "name": user.name, "email": user.email}


def _metadata(export: Export) -> dict[str, Any]:
    """Return what answers echo of the request: the level always as ``metricLevel``, groups under ``metrics``."""
    options = dict(export.request.get("options") or {})
    if "aggregationLevel" in options:
        options["metricLevel"] = options.pop("aggregationLevel")
    metrics = export.request.get("metricGroups") or export.request.get("metrics") or []
    return {"dateRange": export.request["dateRange"], "metrics": metrics, "options": options}


def _with_faults(answer: dict[str, Any], hits: Hits) -> dict[str, Any]:
    other = hits.get("export_id")
    changes = dict((hits.get("fields") or {}).get("changes", {}))
    if other:
        changes["exportId"] = other["export_id"]
    return {key: value for key, value in (answer | changes).items() if key not in changes or value is not None}
