"""Files as they are handed out, whole or spoiled by a fault."""

from __future__ import annotations

from urllib.parse import quote

from airflow_provider_sei.local_server.bodies import Body, gzipped, gzipped_in_members
from airflow_provider_sei.local_server.calls import Reply
from airflow_provider_sei.local_server.faults import Hits

__all__ = ["content_disposition", "file_reply"]

_MAGIC = b"\x1f\x8b"
_TRAILER_BYTES = 8
_BLOCK = 1 << 20


def file_reply(csv: Body, file: Body, filename: str, hits: Hits) -> Reply:
    """Return the answer that carries a file.

    Args:
        csv: the content before compression.
        file: the content as it is normally handed out.
        filename: what the answer calls it.
        hits: the faults of this call.
    """
    only_rfc5987 = bool((hits.get("filename") or {}).get("rfc5987"))
    headers = {
        "Content-Type": "text/csv",
        "Content-Disposition": content_disposition(filename, only_rfc5987=only_rfc5987),
    }
    if hits.get("empty") is not None:
        file = Body()
    elif hits.get("mislabel") is not None:
        file = csv if file.split(2)[0].content() == _MAGIC else gzipped(csv)
    elif members := hits.get("multi_member"):
        file = gzipped_in_members(csv, members["members"])
    elif corrupt := hits.get("corrupt_gzip"):
        file = _corrupted(gzipped(csv), corrupt["where"])
    elif encoding := hits.get("content_encoding"):
        headers["Content-Encoding"] = "gzip"
        file = gzipped(csv if encoding["of"] == "plain" else gzipped(csv))
    elif bomb := hits.get("bomb"):
        blocks, rest = divmod(bomb["expanded_bytes"], _BLOCK)
        file = gzipped(Body(((b"0" * _BLOCK, blocks), (b"0" * rest, 1))))
    return Reply(headers=headers, body=file)


def _corrupted(file: Body, where: str) -> Body:
    if where == "trailer":
        return file.split(len(file) - _TRAILER_BYTES)[0]
    return file.flipped(len(file) // 2)


def content_disposition(name: str, *, only_rfc5987: bool = False) -> str:
    """Return the header for a file called ``name``; what a quoted string cannot hold goes into the RFC 5987 form."""
    quotable = name.isascii() and name.isprintable()
    if quotable and not only_rfc5987:
        escaped = name.replace("\\", "\\\\").replace('"', '\\"')
        return f'attachment; filename="{escaped}"'
    return f"attachment; filename*=UTF-8''{quote(name, safe='')}"
