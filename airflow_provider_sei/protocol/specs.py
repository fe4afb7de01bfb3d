"""What a user may ask of an export family, and the body that says it.

The rule of this file: what is certainly a mistake is refused before anything is sent; what the vendor may have added
since (a metric, a group, a scope key) is sent as written and reported as a warning. ``extra_body`` is merged last and
unchecked, the way around every rule here.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from airflow_provider_sei.protocol.errors import SEIUsageError
from airflow_provider_sei.protocol.families import ExportFamily, Option, get_family
from airflow_provider_sei.protocol.suggestions import did_you_mean

__all__ = ["ExportSpec", "checked_date", "checked_names", "checked_period", "fingerprint", "merged"]

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")

# Other ways the vendor's OpenAPI document knows to say whose metrics are wanted.
_OTHER_SCOPES = ("managerEmailId", "developerIds", "developerAttributes")


@dataclass(frozen=True, kw_only=True)
class ExportSpec:
    """A checked request for one export. Build it with ``ExportSpec.checked``."""

    family: ExportFamily
    scope: Mapping[str, Any]
    date_start: str
    """yyyy-MM-dd, first day of the period."""
    date_end: str
    """yyyy-MM-dd, last day of the period (included)."""
    metric_groups: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    issue_statuses: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    """Sentences to log once, before the request is sent."""

    @classmethod
    def checked(
        cls,
        *,
        family: object,
        date_start: object,
        date_end: object,
        org_tree_name: object = None,
        team_id: object = None,
        scope: object = None,
        metric_groups: object = None,
        metrics: object = None,
        issue_statuses: object = None,
        level_key: object = None,
        extra_body: object = None,
        **options: object,
    ) -> ExportSpec:
        """Check a user's words and return the request they make.

        Args:
            family: name of one of the families.
            date_start: first day, yyyy-MM-dd (or a date).
            date_end: last day, included.
            org_tree_name: the organisation tree to export.
            team_id: the team to export; numbers are sent as text.
            scope: further keys of the request's ``scope`` object, sent as written.
            metric_groups: names of groups; one name or a list.
            metrics: names of metrics; one name or a list.
            issue_statuses: workflow status names, for families that take them.
            level_key: the key to send ``level`` under, instead of the family's own.
            extra_body: merged into the finished body, key by key, without any check.
            **options: the family's options by their argument names (``granularity``, ``level``, ...). ``None`` and
                ``""`` mean "not given".

        Raises:
            SEIUsageError: something cannot work; ``field`` names the argument.
        """
        known = get_family(family)
        start, end = checked_period(date_start, date_end)
        warnings: list[str] = []
        if start == end:
            warnings.append(
                f"date_start and date_end are the same day, {start}: the server may refuse a one-day period"
            )
        extra = _mapping(extra_body, "extra_body")
        groups = checked_names(metric_groups, "metric_groups")
        names = checked_names(metrics, "metrics")
        warnings += _unknown(groups, known.metric_groups, "metric_groups", known)
        warnings += _unknown(names, known.metrics, "metrics", known)
        if known.needs_metrics and not (groups or names or extra.keys() & {"metricGroups", "metrics"}):
            msg = (
                f"metric_groups is missing: a {known.name} export needs some of"
                f" {', '.join(known.metric_groups)} (or metrics)"
            )
            raise SEIUsageError(msg, field="metric_groups")
        statuses = checked_names(issue_statuses, "issue_statuses")
        if statuses and not known.takes_issue_statuses:
            msg = f"issue_statuses is not a field of {known.name} exports"
            raise SEIUsageError(msg, field="issue_statuses")
        return cls(
            family=known,
            scope=_scope(
                known,
                {"org_tree_name": org_tree_name, "team_id": team_id},
                _mapping(scope, "scope"),
                extra,
                warnings,
            ),
            date_start=start,
            date_end=end,
            metric_groups=groups,
            metrics=names,
            issue_statuses=statuses,
            options=_options(known, options, str(level_key) if level_key else None),
            extra_body=extra,
            warnings=tuple(warnings),
        )

    def body(self, *, org_identifier: str | None = None, project_identifier: str | None = None) -> dict[str, Any]:
        """Return the JSON body of the create call.

        Args:
            org_identifier: put inside ``scope`` where the family needs it beside ``orgTreeName``.
            project_identifier: likewise.
        """
        scope = dict(self.scope)
        if self.family.identifiers_in_scope and "orgTreeName" in scope:
            if org_identifier:
                scope.setdefault("orgIdentifier", org_identifier)
            if project_identifier:
                scope.setdefault("projectIdentifier", project_identifier)
        body: dict[str, Any] = {"scope": scope, "dateRange": {"start": self.date_start, "end": self.date_end}}
        if self.metric_groups:
            body["metricGroups"] = list(self.metric_groups)
        if self.metrics:
            body["metrics"] = list(self.metrics)
        if self.issue_statuses:
            body["issueStatuses"] = list(self.issue_statuses)
        if self.options:
            body["options"] = dict(self.options)
        return merged(body, self.extra_body)

    def fingerprint(self, *, org_identifier: str | None = None, project_identifier: str | None = None) -> str:
        """Return 64 hexadecimal characters that stand for this very request, whoever sends it and whenever."""
        return fingerprint([self.family.name, org_identifier, project_identifier, self.body()])

    @property
    def level(self) -> str | None:
        """The level asked for, under whichever key it is sent."""
        option = self.family.option("level")
        keys = ("metricLevel", "aggregationLevel", *((option.key,) if option else ()))
        return next((self.options[key] for key in keys if key in self.options), None)


def _scope(
    family: ExportFamily,
    named: Mapping[str, object],
    further: dict[str, Any],
    extra: Mapping[str, Any],
    warnings: list[str],
) -> dict[str, Any]:
    scope: dict[str, Any] = {}
    for key, field_name in (("orgTreeName", "org_tree_name"), ("teamId", "team_id")):
        value = named[field_name]
        if value is None or value == "":
            continue
        if isinstance(value, bool) or not isinstance(value, str | int):
            msg = f"{field_name} must be text, not {type(value).__name__}: {value!r}"
            raise SEIUsageError(msg, field=field_name)
        if str(value).strip():
            scope[key] = str(value).strip()
    for key in scope.keys() & further.keys():
        if str(further[key]) != scope[key]:
            msg = f"scope says {key} {further[key]!r}, the argument of its own says {scope[key]!r}: give it once"
            raise SEIUsageError(msg, field="scope")
    scope = {**scope, **further}
    extra_scope = extra.get("scope")
    if not (scope.keys() | (extra_scope.keys() if isinstance(extra_scope, dict) else set())) & {
        *("orgTreeName", "teamId"),
        *_OTHER_SCOPES,
    }:
        msg = "neither team_id nor org_tree_name is given: say which team or organisation tree to export"
        raise SEIUsageError(msg, field="team_id")
    if "orgTreeName" in scope and "teamId" in scope and not family.team_and_org_tree:
        warnings.append(
            f"both team_id and org_tree_name are given: the vendor documents one or the other for {family.name} exports"
        )
    return scope


def _options(family: ExportFamily, given: Mapping[str, object], level_key: str | None) -> dict[str, str]:
    for argument, value in given.items():
        if value not in (None, "") and family.option(argument) is None:
            known = [option.argument for option in family.options]
            guess = did_you_mean(argument, known)
            msg = f"{argument} is not an option of {family.name} exports{guess}; known: {', '.join(known)}"
            raise SEIUsageError(msg, field=argument)
    options: dict[str, str] = {}
    for option in family.options:
        value = given.get(option.argument)
        if value in (None, ""):
            value = option.default
        if value is not None:
            key = level_key if level_key and option.argument == "level" else option.key
            options[key] = _option_value(family, option, value)
    return options


def _option_value(family: ExportFamily, option: Option, value: object) -> str:
    documented = option.documented(value) if isinstance(value, str) else None
    if documented is None:
        guess = did_you_mean(value, option.values) or " is not documented"
        msg = f"{option.argument} {value!r}{guess}; {family.name} exports take {', '.join(option.values)}"
        raise SEIUsageError(msg, field=option.argument)
    return documented


def checked_period(start: object, end: object) -> tuple[str, str]:
    """Return both days as yyyy-MM-dd.

    Raises:
        SEIUsageError: a day is missing or not yyyy-MM-dd, or the first comes after the last.
    """
    first, last = checked_date(start, "date_start"), checked_date(end, "date_end")
    if first > last:
        msg = f"date_start {first} comes after date_end {last}"
        raise SEIUsageError(msg, field="date_start")
    return first, last


def checked_date(value: object, field_name: str) -> str:
    """Return ``value`` as yyyy-MM-dd, the only form that the vendor takes.

    Raises:
        SEIUsageError: missing, or no such day, or written in another way.
    """
    if isinstance(value, datetime):
        value = value.date()
    if isinstance(value, date):
        return value.isoformat()
    text = value.strip() if isinstance(value, str) else value
    if text is None or text == "":
        msg = f"{field_name} is missing: give a day as yyyy-MM-dd"
        raise SEIUsageError(msg, field=field_name)
    try:
        if not isinstance(text, str) or not _DATE.fullmatch(text) or not text.isascii():
            raise ValueError  # noqa: TRY301 - one message for both
        date.fromisoformat(text)
    except ValueError:
        msg = f"{field_name} {value!r} is not a day written yyyy-MM-dd (2024-01-31)"
        raise SEIUsageError(msg, field=field_name) from None
    return text


def checked_names(value: object, field_name: str) -> tuple[str, ...]:
    """Return a name, or a list of names, as a tuple without repeats; ``None`` and blanks mean none.

    Raises:
        SEIUsageError: neither text nor a list of texts.
    """
    if value is None:
        return ()
    if isinstance(value, str):
        value = value.split(",")
    if isinstance(value, Mapping) or not isinstance(value, Iterable):
        msg = f"{field_name} must be a list of names, not {type(value).__name__}"
        raise SEIUsageError(msg, field=field_name)
    names: dict[str, None] = {}
    for name in value:
        if not isinstance(name, str):
            msg = f"{field_name} must be a list of names; {name!r} is not text"
            raise SEIUsageError(msg, field=field_name)
        if name.strip():
            names[name.strip()] = None
    return tuple(names)


def _unknown(names: Iterable[str], known: tuple[str, ...], field_name: str, family: ExportFamily) -> list[str]:
    folded = {name.casefold() for name in known}
    return [
        f"{field_name} has {name!r}, which is not documented for {family.name} exports{did_you_mean(name, known)}"
        for name in names
        if name.casefold() not in folded
    ]


def _mapping(value: object, field_name: str) -> dict[str, Any]:
    if value is None or value == "":
        return {}
    if not isinstance(value, Mapping):
        msg = f"{field_name} must be a mapping, not {type(value).__name__}"
        raise SEIUsageError(msg, field=field_name)
    return dict(value)


def fingerprint(request: Any) -> str:
    """Return the sha256 of a request's canonical JSON, in hexadecimal."""
    text = json.dumps(request, sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def merged(body: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``body`` with ``extra`` laid over it: objects key by key, everything else replaced."""
    result = dict(body)
    for key, value in extra.items():
        old = result.get(key)
        result[key] = merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return result
