"""Faults that a test or another process can arm, and which calls they apply to."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from airflow_provider_sei.protocol.families import did_you_mean, get_family

__all__ = ["EFFECTS", "OPERATIONS", "TEAM_OPERATIONS", "ActiveFaults", "Effect", "Fault", "Faults"]

TEAM_OPERATIONS = ("search_teams", "list_teams", "org_tree_teams", "search_org_trees", "list_org_trees")
PEOPLE = ("developers", "identities")
OPERATIONS = ("create", "status", "download", "list", "legacy", *TEAM_OPERATIONS, *PEOPLE)
"""The calls of the API; a fault may also name ``teams`` (these five) or ``any``."""

_FILES = ("download", "legacy", *PEOPLE)


@dataclass(frozen=True)
class Effect:
    """What a fault does, its parameters with their defaults, and the calls it can apply to."""

    meaning: str
    parameters: dict[str, Any] = field(default_factory=dict)
    operations: tuple[str, ...] = OPERATIONS


EFFECTS: dict[str, Effect] = {
    # Instead of the work
    "answer": Effect(
        "answer with `status` and do nothing; `body` is text, any JSON value, or null for the vendor's error format; "
        "`kind` 'html' wraps the text in a page; `retry_after` is seconds or a date; `headers` are added",
        {"status": 500, "body": None, "kind": "auto", "content_type": None, "retry_after": None, "headers": {}},
    ),
    "redirect": Effect("answer with a redirect to `to`, or to the same URL if null", {"to": None, "status": 302}),
    "delay": Effect("wait `seconds` of real time before the work", {"seconds": 1.0}),
    "close": Effect("close the connection without an answer, or only `after_work`", {"after_work": False}),
    # The export itself
    "outcome": Effect(
        "the new export ends as `status` (failed, cancelled, or any word) with `error`; `never`: it does not end; "
        "`vanishes_after_seconds`: from then on it is unknown; `file_bytes`: the size of its CSV",
        {"status": "completed", "error": None, "never": False, "vanishes_after_seconds": None, "file_bytes": None},
        ("create",),
    ),
    # JSON answers
    "status_word": Effect("answer `word` as the status", {"word": "archiving"}, ("status", "list")),
    "export_id": Effect("leave out the export id; `fields` can change it", operations=("create", "status")),
    "size_bytes": Effect("answer a size that is wrong by `delta` bytes", {"delta": 1}, ("status",)),
    "download_url": Effect(
        "answer the file's URL in another `form`: absolute, foreign (at `origin`), with_identifiers, both (absolute "
        "and with identifiers), download, downloadUrl (as the value of this key), or absent",
        {"form": "absolute", "origin": "https://files.example"},
        ("status",),
    ),
    "fields": Effect("set or (null) leave out fields of the answer", {"changes": {}}),
    "shape": Effect(
        "list: bare, _metadata, other_key, endless, repeating, always_more, no_pagination; teams: bare, records",
        {"shape": "bare"},
        ("list", *TEAM_OPERATIONS),
    ),
    # Files
    "filename": Effect(
        "give the file another `name`, such as a hostile one; `rfc5987` sends only the encoded form",
        {"name": "../../../nowhere/sei.csv", "rfc5987": False},
        ("status", *_FILES),
    ),
    "empty": Effect("send no bytes", operations=_FILES),
    "mislabel": Effect("send plain text where gzip is announced, and gzip where it is not", operations=_FILES),
    "multi_member": Effect("send the file as a gzip file of several members", {"members": 3}, _FILES),
    "corrupt_gzip": Effect("send a gzip file with a damaged `where`: data or trailer", {"where": "data"}, _FILES),
    "content_encoding": Effect("send Content-Encoding: gzip `of` plain CSV or of a gzip file", {"of": "plain"}, _FILES),
    "bomb": Effect("send a small gzip file that unpacks to `expanded_bytes`", {"expanded_bytes": 1 << 30}, _FILES),
    # Transfer
    "cut": Effect("close the connection after `after_bytes`, or `reset` it", {"after_bytes": 0, "reset": False}),
    "stall": Effect("pause `seconds` of real time after `after_bytes`", {"after_bytes": 0, "seconds": 3600.0}),
    "drip": Effect("send `chunk_bytes` every `seconds` of real time", {"chunk_bytes": 1, "seconds": 0.05}),
    "content_length": Effect(
        "send a Content-Length that is wrong by `delta` bytes, or (null) none; too long looks like a cut", {"delta": 1}
    ),
}


@dataclass
class Fault:
    """One armed fault; ``seen`` counts the calls that match it, ``done`` those that it was applied to."""

    effect: str
    parameters: dict[str, Any]
    operations: tuple[str, ...]
    family: str | None
    export_id: str | None
    nth: int
    times: int | None
    seen: int = 0
    done: int = 0

    def applies(self, operation: str, family: str | None, export_id: str | None) -> bool:
        """Count a call if it matches, and return whether the fault applies to it."""
        selected = (self.family or family, self.export_id or export_id) == (family, export_id)
        if operation not in self.operations or not selected:
            return False
        self.seen += 1
        applies = self.seen >= self.nth and (self.times is None or self.done < self.times)
        self.done += applies
        return applies


class ActiveFaults:
    """The faults that apply to one call; the last one added wins if several have the same effect."""

    def __init__(self, faults: list[Fault]) -> None:
        self.effects = tuple(fault.effect for fault in faults)
        self._parameters = {fault.effect: fault.parameters for fault in faults}

    def __contains__(self, effect: str) -> bool:
        return effect in self._parameters

    def get(self, effect: str) -> dict[str, Any] | None:
        """Return the parameters of ``effect``, or ``None`` if it does not apply."""
        return self._parameters.get(effect)

    def value(self, effect: str, parameter: str, default: Any = None) -> Any:
        """Return one parameter of ``effect``, or ``default`` if it does not apply."""
        return self._parameters.get(effect, {}).get(parameter, default)


class Faults:
    """The armed faults of one server; safe to change from another thread."""

    def __init__(self) -> None:
        self._armed: list[Fault] = []

    def add(
        self,
        operation: str,
        effect: str,
        *,
        family: str | None = None,
        export_id: str | None = None,
        nth: int = 1,
        times: int | None = 1,
        **parameters: Any,
    ) -> Fault:
        """Arm a fault, such as ``faults.add("download", "cut", after_bytes=100)``.

        :param operation: one of ``OPERATIONS``, or ``teams``, or ``any``.
        :param effect: a key of ``EFFECTS``.
        :param family: apply only to calls of this export family.
        :param export_id: apply only to calls about this export.
        :param nth: the first matching call to apply to, counted from 1.
        :param times: how many calls to apply to from there on; ``None`` for all.
        :param parameters: of the effect.
        :raises ValueError: unknown operation, effect, parameter or family, or a fault that would never apply.
        """
        if effect not in EFFECTS:
            msg = f"effect {effect!r} is not known{did_you_mean(effect, EFFECTS)}; known: {', '.join(EFFECTS)}"
            raise ValueError(msg)
        known = EFFECTS[effect]
        operations = {"any": OPERATIONS, "teams": TEAM_OPERATIONS}.get(operation, (operation,))
        possible = tuple(name for name in operations if name in known.operations)
        if not possible:
            msg = f"effect {effect!r} does not apply to {operation!r}; it applies to: {', '.join(known.operations)}"
            raise ValueError(msg)
        unknown = sorted(set(parameters) - set(known.parameters))
        if unknown:
            names = ", ".join(known.parameters) or "none"
            msg = f"effect {effect!r} has no parameter {', '.join(unknown)}; it has: {names}"
            raise ValueError(msg)
        if nth < 1 or (times is not None and times < 1):
            msg = f"nth={nth} and times={times} apply to no call: both count from 1"
            raise ValueError(msg)
        family = get_family(family).name if family is not None else None
        fault = Fault(effect, {**known.parameters, **parameters}, possible, family, export_id, nth, times)
        self._armed.append(fault)
        return fault

    def clear(self) -> None:
        """Disarm all faults."""
        self._armed.clear()

    def active(self, operation: str, family: str | None, export_id: str | None) -> ActiveFaults:
        """Count a call and return the faults that apply to it."""
        return ActiveFaults([fault for fault in self._armed if fault.applies(operation, family, export_id)])

    def armed(self) -> list[dict[str, Any]]:
        """Return all faults as plain values, with their counts."""
        return [asdict(fault) for fault in self._armed]
