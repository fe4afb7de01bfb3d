"""What a user may ask of an export family, and the body that says it.

The rule of this file: what is certainly a mistake is refused before anything is sent; what the vendor may have added
since (a metric, a group, a scope key) is sent as written and reported as a warning. ``extra_body`` is merged last and
unchecked, the way around every rule here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_sei.protocol.checks import (
    checked_mapping,
    checked_names,
    checked_period,
    checked_text,
    merged,
    undocumented,
)
from airflow_provider_sei.protocol.errors import SEIUsageError
from airflow_provider_sei.protocol.families import ExportFamily, Option, get_family
from airflow_provider_sei.protocol.suggestions import did_you_mean

if TYPE_CHECKING:  # every DAG file loads this module, for the operators' checks
    from airflow_provider_sei.protocol.exports import Export

__all__ = ["ExportSpec", "fingerprint"]

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
        extra = checked_mapping(extra_body, "extra_body")
        groups = checked_names(metric_groups, "metric_groups")
        names = checked_names(metrics, "metrics")
        what = f"{known.name} exports"
        warnings += undocumented(groups, known.metric_groups, "metric_groups", what)
        warnings += undocumented(names, known.metrics, "metrics", what)
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
                checked_mapping(scope, "scope"),
                extra,
                warnings,
            ),
            date_start=start,
            date_end=end,
            metric_groups=groups,
            metrics=names,
            issue_statuses=statuses,
            options=_options(known, options, checked_text(level_key, "level_key")),
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

    def contradictions(self, export: Export) -> list[str]:
        """Return a sentence for each thing that the server says ``export`` is of, and this request does not ask for.

        What the server does not say contradicts nothing. Its form is documented by examples alone, so these are
        warnings.
        """
        sent = self.body()
        scope, period = (part if isinstance(part := sent.get(key), dict) else {} for key in ("scope", "dateRange"))
        said = {
            "teamId": (export.team_id, scope.get("teamId")),
            "orgTreeName": (export.org_tree_name, scope.get("orgTreeName")),
            "dateRange.start": (export.date_start and export.date_start[:10], period.get("start")),
            "dateRange.end": (export.date_end and export.date_end[:10], period.get("end")),
        }
        return [
            f"the server says that {export.family} export {export.export_id} has {key} {theirs!r}, but {ours!r} is"
            " asked for; a template that changes between create and delivery does this, too"
            for key, (theirs, ours) in said.items()
            if theirs and ours and theirs != str(ours)
        ]

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
        text = checked_text(named[field_name], field_name)
        if text:
            scope[key] = text
    for key in scope.keys() & further.keys():
        if str(further[key]) != scope[key]:
            msg = f"scope says {key} {further[key]!r}, the argument of its own says {scope[key]!r}: give it once"
            raise SEIUsageError(msg, field="scope")
    # As text, which the vendor takes and names of files are made of; a scope that a template renders may hold a number.
    texts = {key: checked_text(further[key], f"scope {key}") for key in ("orgTreeName", "teamId") if key in further}
    scope = {**scope, **further, **{key: text for key, text in texts.items() if text}}
    sent = merged({"scope": scope}, extra)["scope"]
    if isinstance(sent, dict) and not any(sent.get(key) for key in ("orgTreeName", "teamId", *_OTHER_SCOPES)):
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
        if value is None or (isinstance(value, str) and not value.strip()):
            value = option.default
        if value is not None:
            key = level_key if level_key and option.argument == "level" else option.key
            options[key] = _option_value(family, option, value)
    return options


def _option_value(family: ExportFamily, option: Option, value: object) -> str:
    documented = option.documented(value) if isinstance(value, str) else None
    if documented is None:
        guess = did_you_mean(value, option.values) or " is not documented"
        msg = f"{option.argument} {value!r}{guess}; {family.name} exports take {', '.join(option.values) or 'text'}"
        raise SEIUsageError(msg, field=option.argument)
    return documented


def fingerprint(request: Any) -> str:
    """Return the sha256 of a request's canonical JSON, in hexadecimal."""
    text = json.dumps(request, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
