"""What may be requested of an export family, and the body of the create call.

Certain mistakes are rejected; a metric, group or scope key that the vendor may have added is sent, with a warning.
``extra_body`` is merged last and is not checked.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_sei.exceptions import SEIArgumentError
from airflow_provider_sei.protocol.arguments import (
    is_missing,
    merged,
    parse_mapping,
    parse_names,
    parse_period,
    parse_text,
    undocumented,
)
from airflow_provider_sei.protocol.families import ExportFamily, did_you_mean, get_family

OPTION_FIELDS = (
    *("aggregation", "level", "granularity", "file_format", "export_compression"),
    *("computation_mode", "terminal_date_column", "work_category_filter"),
)
REQUEST_FIELDS = (
    *("family", "date_start", "date_end", "org_tree_name", "team_id", "manager_email_id", "scope"),
    *("metric_groups", "metrics", "issue_statuses", *OPTION_FIELDS, "extra_body"),
)

_SCOPES = {"orgTreeName": "org_tree_name", "teamId": "team_id", "managerEmailId": "manager_email_id"}
# The vendor's OpenAPI document has further ways to say whose metrics are exported.
_OTHER_SCOPES = ("developerIds", "developerAttributes")
_CONTENT = {"metricGroups", "metrics", "issueStatuses", "options"}  # the body's keys that say nothing of the scope


@dataclass(frozen=True, kw_only=True)
class ExportRequest:
    """A valid request for one export. Build it with :meth:`from_arguments`. Days are yyyy-MM-dd, inclusive."""

    family: ExportFamily
    scope: Mapping[str, Any]
    date_start: str
    date_end: str
    metric_groups: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    issue_statuses: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    """Sentences to log before the request is sent."""

    @classmethod
    def from_arguments(
        cls, *, family: object, date_start: object, date_end: object, **arguments: object
    ) -> ExportRequest:
        """Parse a user's arguments.

        :param family: name of one of the families.
        :param date_start: first day, yyyy-MM-dd (or a date).
        :param date_end: last day, inclusive.
        :param arguments: ``org_tree_name`` and ``team_id`` (text or integers); ``manager_email_id``; ``scope`` (further
            keys of the request's ``scope``, sent as written); ``metric_groups``, ``metrics`` and ``issue_statuses`` (a
            name or a list); the family's options (``granularity``, ``level``, ...); ``extra_body`` (merged into the
            finished body, unchecked). ``None`` and blank text mean "not given".
        :raises SEIArgumentError: an argument is invalid; ``field`` is its name.
        """
        given = {"family": family, "date_start": date_start, "date_end": date_end, **arguments}
        if unknown := sorted(given.keys() - set(REQUEST_FIELDS)):
            msg = f"{unknown[0]} is not an argument of an export{did_you_mean(unknown[0], REQUEST_FIELDS)}"
            raise SEIArgumentError(msg, field=unknown[0])
        known, warnings = get_family(family), list[str]()
        start, end = parse_period(date_start, date_end)
        if start == end:
            warnings.append(
                f"date_start and date_end are the same day, {start}: the server may refuse a one-day period"
            )
        parsed: dict[str, Any] = {}
        for names, parse in _GROUPS.items():
            parsed |= parse(known, {name: given.get(name) for name in names}, warnings)
        return cls(family=known, date_start=start, date_end=end, **parsed, warnings=tuple(warnings))

    def body(self, *, org_identifier: str | None = None, project_identifier: str | None = None) -> dict[str, Any]:
        """Return the JSON body of the create call; the identifiers are added to ``scope`` if the family needs them."""
        scope = dict(self.scope)
        identifiers = {"orgIdentifier": org_identifier, "projectIdentifier": project_identifier}
        if self.family.identifiers_in_scope and "orgTreeName" in scope:
            scope |= {key: value for key, value in identifiers.items() if value and key not in scope}
        body: dict[str, Any] = {"scope": scope, "dateRange": {"start": self.date_start, "end": self.date_end}}
        lists = {"metricGroups": self.metric_groups, "metrics": self.metrics, "issueStatuses": self.issue_statuses}
        body |= {key: list(names) for key, names in lists.items() if names}
        if self.options:
            body["options"] = dict(self.options)
        return merged(body, self.extra_body)

    def fingerprints(self, source: Mapping[str, str | None]) -> dict[str, str | None]:
        """Return what identifies the request: hexadecimal characters, the same whoever sends it and whenever.

        :return: ``fingerprint``: of source and request, 64 characters; ``scope``: likewise, of the source and a scope
            beyond team and tree; ``manager``: eight for a manager's address, which is personal data.
        """
        scope = {key: value for key, value in self.scope.items() if key not in ("teamId", "orgTreeName")}
        scope |= {key: value for key, value in self.extra_body.items() if key not in _CONTENT}
        whole = fingerprint([source, self.family.name, self.body()])
        address = str(self.scope.get("managerEmailId") or "").lower()
        manager = hashlib.sha256(address.encode()).hexdigest()[:8] if address else None
        return {"scope": fingerprint([source, scope]), "fingerprint": whole, "manager": manager}

    @property
    def level(self) -> str | None:
        """The requested level, whatever its key."""
        option = self.family.option("level")
        return self.options.get(option.key) if option else None


def check_request(arguments: Mapping[str, object], is_known: Callable[[object], bool]) -> None:
    """Check the arguments that have their final value when a DAG is parsed, by groups."""
    parse_period(arguments.get("date_start"), arguments.get("date_end"), is_known)
    if not is_known(arguments["family"]):
        return
    family = get_family(arguments["family"])
    for names, parse in _GROUPS.items():
        known = {name: value for name in names if is_known(value := arguments.get(name))}
        if names == _OPTIONS or len(known) == len(names):
            parse(family, known, [])


def fingerprint(request: Any) -> str:
    """Return the sha256 of a request's canonical JSON, in hexadecimal."""
    text = json.dumps(request, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _parse_scope(family: ExportFamily, given: Mapping[str, object], warnings: list[str]) -> dict[str, Any]:
    further, extra = parse_mapping(given["scope"], "scope"), parse_mapping(given["extra_body"], "extra_body")
    scope: dict[str, Any] = {}
    for key, name in _SCOPES.items():
        if text := parse_text(given[name], name):
            scope[key] = text
        if key in scope and key in further and str(further[key]) != scope[key]:
            msg = f"scope has another {key} than {name}: give it once"  # a manager's address is personal data
            raise SEIArgumentError(msg, field="scope")
        if key in further and (text := parse_text(further[key], f"scope {key}")):
            further[key] = text  # as text, like the arguments: a rendered scope may have a number
    scope |= further
    sent = merged({"scope": scope}, extra)["scope"]
    if isinstance(sent, dict) and not any(sent.get(key) for key in (*_SCOPES, *_OTHER_SCOPES)):
        msg = "neither team_id nor org_tree_name is given: say which team or organisation tree to export"
        raise SEIArgumentError(msg, field="team_id")
    if {"orgTreeName", "teamId"} <= scope.keys() and not family.team_and_org_tree:
        warnings.append(
            f"both team_id and org_tree_name are given: the vendor documents one or the other for {family.name} exports"
        )
    return {"scope": scope, "extra_body": extra}


def _parse_metrics(family: ExportFamily, given: Mapping[str, object], warnings: list[str]) -> dict[str, Any]:
    groups, names = (parse_names(given[name], name) for name in ("metric_groups", "metrics"))
    extra = parse_mapping(given["extra_body"], "extra_body")
    if family.needs_metrics and not (groups or names or extra.keys() & {"metricGroups", "metrics"}):
        known = ", ".join(family.metric_groups)
        msg = f"metric_groups is missing: {family.name} exports need some of {known} (or metrics)"
        raise SEIArgumentError(msg, field="metric_groups")
    if groups and names and family.metrics_or_groups:
        words = "both metric_groups and metrics are given: the vendor documents one or the other for"
        warnings.append(f"{words} {family.name} exports")
    warnings += undocumented(groups, family.metric_groups, "metric_groups", f"{family.name} exports")
    if names:
        warnings += undocumented(names, family.metrics, "metrics", f"{family.name} exports")
    return {"metric_groups": groups, "metrics": names}


def _parse_options(family: ExportFamily, given: Mapping[str, object], warnings: list[str]) -> dict[str, Any]:
    statuses = parse_names(given.get("issue_statuses"), "issue_statuses")
    if statuses and not family.takes_issue_statuses:
        msg = f"issue_statuses is not a field of {family.name} exports"
        raise SEIArgumentError(msg, field="issue_statuses")
    values = {name: value for name in OPTION_FIELDS if not is_missing(value := given.get(name))}
    known = {option.argument: option for option in family.options}
    if unknown := [name for name in values if name not in known]:
        guess = did_you_mean(unknown[0], known)
        msg = f"{unknown[0]} is not an option of {family.name} exports{guess}; known: {', '.join(known)}"
        raise SEIArgumentError(msg, field=unknown[0])
    options: dict[str, Any] = {}
    for name, option in known.items():
        value = values.get(name, option.default)
        if value is None:
            continue
        texts = parse_names(value, name) if option.many else (value,)
        documented = [option.documented(text) if isinstance(text, str) else None for text in texts]
        if None in documented:
            value = texts[documented.index(None)]
            guess = did_you_mean(value, option.values)
            msg = f"{name} {value!r} is unknown{guess}; {family.name} exports take {', '.join(option.values) or 'text'}"
            raise SEIArgumentError(msg, field=name)
        if option.open_ended:
            warnings += undocumented(filter(None, documented), option.values, name, f"{family.name} exports")
        if documented:
            options[option.key] = documented if option.many else documented[0]
    return {"issue_statuses": statuses, "options": options}


_OPTIONS = ("issue_statuses", *OPTION_FIELDS)
_GROUPS: dict[tuple[str, ...], Callable[[ExportFamily, Mapping[str, object], list[str]], dict[str, Any]]] = {
    (*_SCOPES.values(), "scope", "extra_body"): _parse_scope,
    ("metric_groups", "metrics", "extra_body"): _parse_metrics,
    _OPTIONS: _parse_options,
}
