"""The faults that are armed, and which of them a call meets.

A fault names the calls it befalls (operation, family, export) and among these the first one (``nth``) and how many
(``times``); what it does stands in :data:`~airflow_provider_sei.local_server.fault_table.EFFECTS`.
"""

from __future__ import annotations

import threading
from dataclasses import asdict, dataclass
from typing import Any

from airflow_provider_sei.local_server.fault_table import EFFECTS, OPERATIONS, TEAM_OPERATIONS
from airflow_provider_sei.protocol.families import did_you_mean, get_family

__all__ = ["Fault", "Faults", "Hits"]


@dataclass
class Fault:
    """One armed fault; ``seen`` counts the calls it matched, ``done`` those it befell."""

    effect: str
    parameters: dict[str, Any]
    operations: tuple[str, ...]
    family: str | None
    export_id: str | None
    nth: int
    times: int | None
    seen: int = 0
    done: int = 0

    def meets(self, operation: str, family: str | None, export_id: str | None) -> bool:
        """Count the call if it is one of those this fault is about, and say whether it befalls it."""
        if operation not in self.operations or (self.family or family) != family:
            return False
        if (self.export_id or export_id) != export_id:
            return False
        self.seen += 1
        if self.seen < self.nth or (self.times is not None and self.done >= self.times):
            return False
        self.done += 1
        return True


class Hits:
    """The faults that befall one call."""

    def __init__(self, faults: list[Fault]) -> None:
        self._faults = faults

    def get(self, effect: str) -> dict[str, Any] | None:
        """Return the parameters of ``effect`` if it befalls this call (of the last one added, if several do)."""
        return next((fault.parameters for fault in reversed(self._faults) if fault.effect == effect), None)

    def names(self) -> list[str]:
        """Return the effects that befall this call."""
        return [fault.effect for fault in self._faults]


class Faults:
    """The armed faults of one server; safe to change from another thread."""

    def __init__(self) -> None:
        self._armed: list[Fault] = []
        self._lock = threading.Lock()

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
        """Arm a fault.

        ::

            sei_server.faults.add("status", "answer", status=503, times=3)
            sei_server.faults.add("download", "cut", after_bytes=100)
            sei_server.faults.add("create", "outcome", status="failed", error="Invalid teamId")

        Args:
            operation: one of ``OPERATIONS``, or ``teams``, or ``any``.
            effect: a key of ``EFFECTS``.
            family: only calls of this export family.
            export_id: only calls about this export.
            nth: the first matching call that it befalls, counted from 1.
            times: how many calls it befalls from there on; ``None`` for all.
            parameters: of the effect.

        Raises:
            ValueError: no such operation, effect, parameter or family, or a fault that could befall no call; the
                message says what is known.
        """
        if effect not in EFFECTS:
            msg = f"effect {effect!r} is not known{did_you_mean(effect, EFFECTS)}; known: {', '.join(EFFECTS)}"
            raise ValueError(msg)
        known = EFFECTS[effect]
        operations = {"any": OPERATIONS, "teams": TEAM_OPERATIONS}.get(operation, (operation,))
        possible = tuple(name for name in operations if name in known.operations)
        if not possible:
            msg = f"effect {effect!r} cannot befall {operation!r}; it can befall: {', '.join(known.operations)}"
            raise ValueError(msg)
        unknown = sorted(set(parameters) - set(known.parameters))
        if unknown:
            names = ", ".join(known.parameters) or "none"
            msg = f"effect {effect!r} has no parameter {', '.join(unknown)}; it has: {names}"
            raise ValueError(msg)
        if nth < 1 or (times is not None and times < 1):
            msg = f"nth={nth} and times={times} befall no call: both count from 1"
            raise ValueError(msg)
        family = get_family(family).name if family is not None else None
        fault = Fault(effect, {**known.parameters, **parameters}, possible, family, export_id, nth, times)
        with self._lock:
            self._armed.append(fault)
        return fault

    def clear(self) -> None:
        """Disarm all faults."""
        with self._lock:
            self._armed.clear()

    def hits(self, operation: str, family: str | None, export_id: str | None) -> Hits:
        """Return the faults that befall this call, counting it."""
        with self._lock:
            return Hits([fault for fault in self._armed if fault.meets(operation, family, export_id)])

    def armed(self) -> list[dict[str, Any]]:
        """Return all faults as plain values, with how often each was seen and done."""
        with self._lock:
            return [asdict(fault) for fault in self._armed]
