"""What can be made to go wrong: each effect with its parameters, their defaults and the calls it can befall."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["EFFECTS", "NASTY_FILENAMES", "OPERATIONS", "TEAM_OPERATIONS", "Effect"]

TEAM_OPERATIONS = ("search_teams", "list_teams", "org_tree_teams", "search_org_trees", "list_org_trees")
OPERATIONS = ("create", "status", "download", "list", "legacy", *TEAM_OPERATIONS)
"""The calls of the API; a fault may also name ``teams`` (all five of those) or ``any``."""

_FILES = ("download", "legacy")


@dataclass(frozen=True)
class Effect:
    """One way to go wrong."""

    meaning: str
    parameters: dict[str, Any] = field(default_factory=dict)
    """The effect's parameters and their defaults."""
    operations: tuple[str, ...] = OPERATIONS
    """The calls it can befall."""


EFFECTS: dict[str, Effect] = {
    # Instead of the work
    "answer": Effect(
        "answer with `status` and do nothing; `body` is text, any JSON value, or null for the vendor's error shape; "
        "`kind` 'html' wraps a page around the text; `retry_after` is seconds or a date; `headers` are added",
        {"status": 500, "body": None, "kind": "auto", "content_type": None, "retry_after": None, "headers": {}},
    ),
    "redirect": Effect("answer with a redirect to `to`, or to the same address if null", {"to": None, "status": 302}),
    "delay": Effect("wait `seconds` of real time before the work", {"seconds": 1.0}),
    "close": Effect(
        "close the connection without an answer; `after_work` has done the work first", {"after_work": False}
    ),
    # The export itself
    "outcome": Effect(
        "the new export ends as `status` (failed, cancelled, or any word) with `error`; `never`: it does not end; "
        "`vanishes_after_seconds`: from then on it is unknown; `file_bytes`: the size of its CSV",
        {
            "status": "completed",
            "error": None,
            "never": False,
            "vanishes_after_seconds": None,
            "file_bytes": None,
        },
        ("create",),
    ),
    # What JSON answers say
    "status_word": Effect("say `word` in place of the status", {"word": "archiving"}, ("status", "list")),
    "export_id": Effect("name another export, or (null) none", {"export_id": None}, ("create", "status")),
    "size_bytes": Effect("announce a size that is `delta` bytes off", {"delta": 1}, ("status",)),
    "download_url": Effect(
        "name the file in another `form`: absolute, foreign (at `origin`), with_identifiers, both (absolute and with "
        "identifiers), download, downloadUrl (the key it stands under), or absent",
        {"form": "absolute", "origin": "https://files.example"},
        ("status",),
    ),
    "fields": Effect("set or (null) leave out fields of the answer", {"changes": {}}),
    "shape": Effect(
        "list: bare, _metadata, other_key, endless, repeating, always_more, no_pagination; teams: bare, records",
        {"shape": "bare"},
        ("list", *TEAM_OPERATIONS),
    ),
    # What the file is
    "filename": Effect(
        "give the file another `name`, or the one that NASTY_FILENAMES lists under it; `rfc5987` uses that form only",
        {"name": "traversal", "rfc5987": False},
        ("status", *_FILES),
    ),
    "empty": Effect("send no bytes", operations=_FILES),
    "mislabel": Effect("send plain text where gzip is announced, or the other way round", operations=_FILES),
    "multi_member": Effect("send the file as a gzip file of several members", {"members": 3}, _FILES),
    "corrupt_gzip": Effect("send a gzip file with a damaged `where`: data or trailer", {"where": "data"}, _FILES),
    "content_encoding": Effect(
        "send Content-Encoding: gzip; `of` plain CSV or of a gzip file", {"of": "plain"}, _FILES
    ),
    "bomb": Effect("send a small gzip file that unpacks to `expanded_bytes`", {"expanded_bytes": 1 << 30}, _FILES),
    # How the answer is sent
    "cut": Effect(
        "close the connection after `after_bytes`; `reset` does it rudely", {"after_bytes": 0, "reset": False}
    ),
    "stall": Effect("pause `seconds` of real time after `after_bytes`", {"after_bytes": 0, "seconds": 3600.0}),
    "drip": Effect("send `chunk_bytes` every `seconds` of real time", {"chunk_bytes": 1, "seconds": 0.05}),
    "content_length": Effect(
        "announce a length that is `delta` bytes off, or (null) none at all; too long looks like a cut", {"delta": 1}
    ),
}

# Those that lead elsewhere lead to a folder that is not there: a client that falls for one must not do harm.
NASTY_FILENAMES = {
    "traversal": "../../../nowhere/sei.csv",
    "backslashes": "..\\..\\windows\\system.ini",
    "absolute": "/nowhere/sei.csv",
    "drive": "C:\\sei.csv",
    "nul": "report\x00.csv",
    "crlf": "report\r\nX-Injected: yes.csv",
    "template": "{{ conn.sei_default.password }}.csv",
    "long": "x" * 5000 + ".csv",
    "unicode": "Qualität – 平台.csv",
    "quotes": 'a"b";x=.csv',
    "dots": "..",
    "spaces": "   ",
    "empty": "",
    "url": "s3://elsewhere/key.csv?versionId=1#x",
    "percent": "%2e%2e%2fsecret.csv",
}
"""File names that a careless client would regret."""
