"""The metrics that the documents name: what each measures, in which unit, and which exports take it.

For people and programs that choose metrics. The list grows on the vendor's side, so nothing is refused for not being
here: a name that is unknown is sent as written, with a warning. Business alignment and time in status take no metrics.

Sources: the customer's API document (the legacy reports) and Harness developer hub, "Export Insights" pages for
productivity, efficiency and sprint, read 2026-11-23. The pages name the V2 metrics without describing them: where the
name does not say the unit either, it is ``UNKNOWN_UNIT``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from airflow_provider_sei.protocol.errors import SEIUsageError
from airflow_provider_sei.protocol.suggestions import did_you_mean

__all__ = [
    "CONTRIBUTOR_REPORT",
    "TEAM_REPORT_EFFICIENCY",
    "TEAM_REPORT_PRODUCTIVITY",
    "UNKNOWN_UNIT",
    "Metric",
    "metric",
    "metric_names",
    "metrics",
]

UNKNOWN_UNIT = "not documented"

TEAM_REPORT_PRODUCTIVITY = "team-report/productivity"
"""The legacy team report's ``productivity_metrics``."""
TEAM_REPORT_EFFICIENCY = "team-report/efficiency"
"""The legacy team report's ``efficiency_metrics``."""
CONTRIBUTOR_REPORT = "contributor-report"
"""The legacy contributor report's ``contributor_metrics``."""


@dataclass(frozen=True)
class Metric:
    """One metric. Names are compared without regard to case, by the vendor as well as here."""

    name: str
    unit: str
    """Of the values in the file, which carry none. ``per period``: counted for each ``granularity`` step."""
    description: str
    exports: tuple[str, ...]
    """The families that take it, and the legacy reports that do: one of the constants above."""


_V2 = ("productivity",)
_CONTRIBUTOR = (CONTRIBUTOR_REPORT,)
_TEAM = (TEAM_REPORT_PRODUCTIVITY,)
_DORA = (TEAM_REPORT_EFFICIENCY,)
_EFFICIENCY = ("efficiency",)
_SPRINT = ("sprint",)
_WITHOUT_METRICS = ("ba", "ticket-data")

_DAYS_OF_PERIOD = "days per period"
_ITEMS = "work items"
_LINES = "lines of code"
_PULLS = "pull requests"
_SCOPE = "story points or tickets"  # as the sprint export's computation_mode says

_METRICS = (
    # Productivity
    Metric("CODING_DAYS", _DAYS_OF_PERIOD, "Days on which a developer committed code.", _V2 + _CONTRIBUTOR),
    Metric("PR_CYCLE_TIME_DAYS_AVG", "days", "From opening a pull request to closing it, on average.", _V2),
    Metric(
        "PR_VELOCITY",
        "lines of code per developer and period",
        "Size of the code changes that went through pull requests (of the V2 levels, team only).",
        _V2 + _CONTRIBUTOR,
    ),
    Metric(
        "AVG_TIME_TO_COMPLETE",
        "days",
        "From starting a work item to finishing it, on average.",
        _V2 + _TEAM + _CONTRIBUTOR,
    ),
    Metric("PR_MERGED", _PULLS, "Pull requests merged, of any size.", _V2),
    Metric("PR_MERGED_SMALL", _PULLS, "Pull requests merged that the profile counts as small.", _V2),
    Metric("PR_MERGED_MEDIUM", _PULLS, "Pull requests merged that the profile counts as medium.", _V2),
    Metric("PR_MERGED_LARGE", _PULLS, "Pull requests merged that the profile counts as large.", _V2),
    Metric("LOC_ADDED", _LINES, "Lines written (developer level only).", _V2),
    Metric("LOC_REMOVED", _LINES, "Lines deleted (developer level only).", _V2),
    Metric("LOC_TOTAL", _LINES, "All lines changed, what the rework shares are taken of (team level only).", _V2),
    Metric("WORK_COMPLETED", _ITEMS, "Work items finished, of any kind.", _V2),
    Metric("WORK_FEATURES_COMPLETED", _ITEMS, "Features finished.", _V2),
    Metric("WORK_BUGS_COMPLETED", _ITEMS, "Bugs fixed.", _V2),
    Metric("WORK_OTHER_COMPLETED", _ITEMS, "Work items finished that are neither feature nor bug.", _V2),
    Metric("REWORK_PERCENT", "percent", "Share of the changed lines that replace earlier code, of any age.", _V2),
    Metric("REWORK_PERCENT_RECENT", "percent", "Share of the changed lines that replace recent code.", _V2),
    Metric("REWORK_PERCENT_LEGACY", "percent", "Share of the changed lines that replace old code.", _V2),
    Metric("LOC_REFACTORED", _LINES, "Lines that replace earlier code, of any age.", _V2),
    Metric("LOC_REFACTORED_RECENT", _LINES, "Lines that replace recent code.", _V2),
    Metric("LOC_REFACTORED_LEGACY", _LINES, "Lines that replace old code.", _V2),
    Metric("PR_MISSING_TICKETS", _PULLS, "Pull requests that no work item is linked to.", _V2),
    Metric("REVIEW_COMMENTS_PER_PR_AVG", "comments per pull request", "Review comments, on average.", _V2),
    Metric("REVIEW_TIME_TO_FIRST_COMMENT_HRS_AVG", "hours", "From opening to the first comment, on average.", _V2),
    # Efficiency, with the four DORA metrics
    Metric("PLANNING", "days", "Part of the lead time that is spent before the first commit.", _EFFICIENCY),
    Metric("CODING", "days", "Part of the lead time from the first commit to the pull request.", _EFFICIENCY),
    Metric("REVIEW", "days", "Part of the lead time that pull requests wait for and spend in review.", _EFFICIENCY),
    Metric("BUILD", "days", "Part of the lead time that builds take.", _EFFICIENCY),
    Metric("DEPLOY", "days", "Part of the lead time from the build to production.", _EFFICIENCY),
    Metric("LTTC", "days", "Lead time for changes: all of its parts together.", _EFFICIENCY),
    Metric("LTTC_Mean_Days", "days", "Mean lead time for changes, by the name of its column.", _EFFICIENCY),
    Metric("TOTAL_WORK_ITEMS", _ITEMS, "Work items that the lead time is taken of.", _EFFICIENCY),
    Metric("PR_ASSOCIATIONS", _ITEMS, "Those of them that a pull request is linked to.", _EFFICIENCY),
    Metric("PERCENTAGE_PR_ASSOCIATED", "percent", "Their share of all work items.", _EFFICIENCY),
    Metric(
        "DEPLOYMENT_FREQUENCY", "deployments per period", "How often production is deployed to.", _EFFICIENCY + _DORA
    ),
    Metric("DF_Deployment_Count", "deployments", "Number of deployments, by the name of its column.", _EFFICIENCY),
    Metric("TOTAL_SUCCESS", "deployments", "Deployments that went well.", _EFFICIENCY),
    Metric("TOTAL_FAILURES", "deployments", "Deployments that caused a failure.", _EFFICIENCY),
    Metric("CFR", "percent", "Change failure rate: the share of deployments that caused a failure.", _EFFICIENCY),
    Metric("MTTR", UNKNOWN_UNIT, "Mean time from a failure in production to its repair.", _EFFICIENCY),
    Metric("OVERALL_RATING", "rating", "Elite, High, Medium or Low: all DORA metrics in one word.", _EFFICIENCY),
    # Sprint
    Metric("SPRINT_COMMIT", _SCOPE, "Work in the sprint when it began.", _SPRINT),
    Metric("SPRINT_CREEP", _SCOPE, "Work added after the sprint had begun.", _SPRINT),
    Metric("SPRINT_SIZE", _SCOPE, "Commit and creep together.", _SPRINT),
    Metric("SCOPE_CREEP_PERCENT", "percent", "Creep in relation to the commit.", _SPRINT),
    Metric("TOTAL_WORK_DELIVERED", _SCOPE, "Work finished in the sprint, planned or not.", _SPRINT),
    Metric("SPRINT_VELOCITY", _SCOPE, "Work finished per sprint, on average (team level only).", _SPRINT),
    Metric("DELIVERED_COMMIT", _SCOPE, "Finished part of the commit.", _SPRINT),
    Metric("MISSED_COMMIT", _SCOPE, "Unfinished part of the commit.", _SPRINT),
    Metric("DELIVERED_CREEP", _SCOPE, "Finished part of the creep.", _SPRINT),
    Metric("MISSED_CREEP", _SCOPE, "Unfinished part of the creep.", _SPRINT),
    Metric("TOTAL_DELIVERED_WORK_VS_COMMITTED_WORK", UNKNOWN_UNIT, "All finished work beside the commit.", _SPRINT),
    Metric("COMMITTED_WORK_DELIVERED_PERCENT", "percent", "Finished share of the commit.", _SPRINT),
    Metric("CREEP_WORK_DELIVERED_PERCENT", "percent", "Finished share of the creep.", _SPRINT),
    Metric("TOTAL_WORK_DELIVERED_PERCENT", "percent", "Finished share of the sprint's size.", _SPRINT),
    Metric("TICKETS_REMOVED_MID_SPRINT", "tickets", "Tickets taken out of the running sprint (sprint level).", _SPRINT),
    Metric("CHURN_RATE", "percent", "How much of the sprint was changed after it had begun.", _SPRINT),
    Metric(
        "PREDICTABILITY_DELIVERY_CONSISTENCY", UNKNOWN_UNIT, "How evenly sprints deliver (team level only).", _SPRINT
    ),
    Metric(
        "PREDICTABILITY_RELIABILITY_OF_COMMITMENT",
        UNKNOWN_UNIT,
        "How far the commit of a sprint can be relied on (team level only).",
        _SPRINT,
    ),
    # Legacy team report
    Metric("TIME_TO_FIRST_COMMENT", "days", "From opening a pull request to its first comment.", _TEAM + _CONTRIBUTOR),
    Metric(
        "PR_VELOCITY_PER_DEV",
        "lines of code per developer and period",
        "Size of the code changes that went through pull requests, for a team's average developer.",
        _TEAM,
    ),
    Metric(
        "WORKTYPE_COMPLETED_PER_DEV",
        "work items per developer and period",
        "Prioritised bugs and work items finished, for a team's average developer.",
        _TEAM,
    ),
    Metric("CODING_DAYS_PER_DEV", _DAYS_OF_PERIOD, "Days with committed code, for a team's average developer.", _TEAM),
    Metric(
        "NUMBER_OF_COMMENTS_PER_PR",
        "comments per pull request",
        "Review comments, on average.",
        _TEAM + _CONTRIBUTOR,
    ),
    Metric("LEAD_TIME_FOR_CHANGES", "days", "From the commit to its deployment in production.", _DORA),
    Metric("CHANGE_FAILURE_RATE", "percent", "Share of deployments that caused a failure in production.", _DORA),
    Metric("MEAN_TIME_TO_RESTORE", "days", "From a failure in production to its repair.", _DORA),
    Metric("OVERALL_DORA", "rating", "All DORA metrics in one rating, Elite to Low.", _DORA),
    # Legacy contributor report
    Metric(
        "WORK_TYPE_COMPLETED",
        "work items per developer and period",
        "Prioritised work items that a developer finished.",
        _CONTRIBUTOR,
    ),
    Metric("NO_OF_PRS_WITH_MISSING_TICKETS", _PULLS, "Pull requests that no work item is linked to.", _CONTRIBUTOR),
)

_BY_NAME = {metric.name.casefold(): metric for metric in _METRICS}


def metrics(family: str) -> tuple[Metric, ...]:
    """Return the metrics that an export family or a legacy report takes; none for a family that takes no metrics.

    Args:
        family: a family's name, ``team-report`` (both parts), ``team-report/productivity``,
            ``team-report/efficiency`` or ``contributor-report``; in any case and with either dash or underscore.

    Raises:
        SEIUsageError: there is no such family or report.
    """
    name = family.strip().casefold().replace("_", "-")
    chosen = tuple(known for known in _METRICS if any(_is_of(export, name) for export in known.exports))
    if not chosen and name not in _WITHOUT_METRICS:
        names = tuple(_in_order(export for known in _METRICS for export in known.exports)) + _WITHOUT_METRICS
        msg = (
            f"family {family!r} is not in the metric catalogue{did_you_mean(family, names)}; known: {', '.join(names)}"
        )
        raise SEIUsageError(msg, field="family")
    return chosen


def metric_names(family: str) -> tuple[str, ...]:
    """Return the names of ``metrics(family)``."""
    return tuple(known.name for known in metrics(family))


def metric(name: str) -> Metric:
    """Return the metric called ``name``, in any case.

    Raises:
        SEIUsageError: no document names it; the message guesses what was meant.
    """
    found = _BY_NAME.get(name.strip().casefold())
    if found is None:
        guess = did_you_mean(name, (known.name for known in _METRICS))
        msg = f"metric {name!r} is not documented{guess}; metrics(family) lists those of a family"
        raise SEIUsageError(msg, field="metric")
    return found


def _is_of(export: str, name: str) -> bool:
    return export == name or export.startswith(f"{name}/")


def _in_order(names: Iterable[str]) -> dict[str, None]:
    return dict.fromkeys(names)
