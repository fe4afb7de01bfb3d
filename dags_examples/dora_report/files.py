"""DeliveryResult files to local disk, checked; and the page to where it belongs. Every store that Airflow knows will do."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

__all__ = ["DeliveryResult", "Missing", "fetch", "write_page"]

_BLOCK = 1 << 20


@dataclass(frozen=True, kw_only=True)
class DeliveryResult:
    """One team's file: a local copy that is, byte for byte, what the export task has delivered."""

    team: str
    """As the list of teams names it; the file may hold several, and names of its own."""
    path: Path
    uri: str
    rows: int
    bytes: int
    sha256: str
    export_id: str


@dataclass(frozen=True)
class Missing:
    """A team that the page can say nothing about."""

    team: str
    reason: str


def fetch(
    teams: Iterable[Mapping[str, str]],
    results: Iterable[Mapping[str, Any] | None],
    folder: Path,
    destination: str,
) -> tuple[list[DeliveryResult], list[Missing]]:
    """Copy what was delivered to ``folder``.

    Args:
        teams: each with ``team_id`` and ``name``.
        results: for each of them what its export task returned, or ``None`` if it did not succeed.
        folder: an empty one.
        destination: that of the exports: it names the store's Airflow connection, the URIs of results do not.

    Returns:
        What can be read, and the teams for which there is nothing, both in the order of ``teams``.
    """
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    conn_id = urlsplit(destination).username
    found: list[DeliveryResult] = []
    missing: list[Missing] = []
    for number, (team, result) in enumerate(zip(teams, results, strict=True)):
        name = team["name"] if team["name"] == team["team_id"] else f"{team['name']} ({team['team_id']})"
        if result is None:
            missing.append(Missing(name, "its export did not succeed; the log of its task says why"))
            continue
        # Named by number: DuckDB takes * and [ in a name as a pattern.
        path = folder / (f"{number}.csv.gz" if result["uri"].endswith(".gz") else f"{number}.csv")
        try:
            sha256 = _copy(ObjectStoragePath(result["uri"], conn_id=conn_id), path)
        except OSError as error:
            missing.append(Missing(name, f"{result['uri']} cannot be read: {error}"))
            continue
        if sha256 != result["sha256"]:
            missing.append(Missing(name, f"{result['uri']} is no longer what was delivered (sha256 {sha256})"))
            continue
        known = {key: result[key] for key in ("uri", "rows", "bytes", "sha256", "export_id")}
        found.append(DeliveryResult(team=team["name"], path=path, **known))
    return found, missing


def write_page(html: str, target: ObjectStoragePath) -> str:
    """Write the page as a whole and return its URI. A page that is there already is replaced."""
    content = html.encode()
    if target.protocol not in {"", "file", "local"}:
        # Object stores show an object once all of it is there.
        target.write_bytes(content)
        return str(target)
    path = Path(target.path).absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        try:
            file.write(content)
            file.flush()
            # Temporary files are their owner's alone; the page is meant to be read.
            os.chmod(file.name, 0o644)  # noqa: PTH101 - the name of an open file
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
    return f"file://{path}"


def _copy(source: ObjectStoragePath, path: Path) -> str:
    """Copy an object to ``path`` and return its sha256."""
    digest = hashlib.sha256()
    with source.open("rb") as file, path.open("wb") as copy:
        while block := file.read(_BLOCK):
            digest.update(block)
            copy.write(block)
    return digest.hexdigest()
