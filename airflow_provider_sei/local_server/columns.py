"""Which columns a file has: the vendor's metric groups as metrics, and the metrics as column names and kinds of values.

A family or group without an entry here still gets columns: the family's declared metrics, or one named after the group.
Sources: the customer's API document and Harness developer hub, "Export Insights" pages, read 2026-11-23.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable

from airflow_provider_sei.protocol.families import ExportFamily

__all__ = ["LEGACY_CONTRIBUTOR", "LEGACY_EFFICIENCY", "LEGACY_PRODUCTIVITY", "column_name", "metrics_of", "value_of"]

_PR_SIZES = ("PR_MERGED", "PR_MERGED_SMALL", "PR_MERGED_MEDIUM", "PR_MERGED_LARGE")
_WORK = ("WORK_COMPLETED", "WORK_FEATURES_COMPLETED", "WORK_BUGS_COMPLETED", "WORK_OTHER_COMPLETED")
_REWORK = ("REWORK_PERCENT", "REWORK_PERCENT_RECENT", "REWORK_PERCENT_LEGACY")
_REVIEW = ("REVIEW_COMMENTS_PER_PR_AVG", "REVIEW_TIME_TO_FIRST_COMMENT_HRS_AVG")
_LOC = ("LOC_ADDED", "LOC_REMOVED")
_DELIVERY = ("TOTAL_WORK_DELIVERED", "DELIVERED_COMMIT", "MISSED_COMMIT", "DELIVERED_CREEP", "MISSED_CREEP")
_ANALYSIS = ("COMMITTED_WORK_DELIVERED_PERCENT", "CREEP_WORK_DELIVERED_PERCENT", "CHURN_RATE")
_PREDICTABILITY = ("PREDICTABILITY_DELIVERY_CONSISTENCY", "PREDICTABILITY_RELIABILITY_OF_COMMITMENT")

_GROUPS: dict[str, dict[str, tuple[str, ...]]] = {
    "productivity": {
        "activity": ("CODING_DAYS",),
        "velocity": ("PR_CYCLE_TIME_DAYS_AVG", "AVG_TIME_TO_COMPLETE"),
        "volume": (*_PR_SIZES, *_LOC, *_WORK),
        "quality": (*_REWORK, "LOC_REFACTORED", "PR_MISSING_TICKETS"),
        "collaboration": _REVIEW,
        "pr": _PR_SIZES,
        "work": _WORK,
        "loc": _LOC,
        "review": _REVIEW,
        "rework": _REWORK,
        "codingdays": ("CODING_DAYS",),
    },
    "efficiency": {
        "lttc": ("PLANNING", "CODING", "REVIEW", "BUILD", "DEPLOY", "LTTC"),
        "df": ("DEPLOYMENT_FREQUENCY",),
        "deployment_frequency": ("DEPLOYMENT_FREQUENCY",),
        "mttr": ("MTTR",),
        "cfr": ("TOTAL_SUCCESS", "TOTAL_FAILURES", "CFR"),
        "summary": ("LTTC", "DEPLOYMENT_FREQUENCY", "CFR", "MTTR", "OVERALL_RATING"),
        "work_items": ("TOTAL_WORK_ITEMS", "PR_ASSOCIATIONS", "PERCENTAGE_PR_ASSOCIATED"),
        "rating": ("OVERALL_RATING",),
    },
    "sprint": {
        "work": ("SPRINT_COMMIT", "SPRINT_CREEP", "SPRINT_SIZE", "SCOPE_CREEP_PERCENT"),
        "delivery": _DELIVERY,
        "deliveryanalysis": _ANALYSIS,
        "analysis": ("TICKETS_REMOVED_MID_SPRINT", *_ANALYSIS),
        "predictability": _PREDICTABILITY,
        "velocity": ("SPRINT_VELOCITY",),
    },
    "ba": {
        "categorized": tuple(
            f"{name}_{unit}" for name in ("KTLO", "NEW_FEATURES") for unit in ("story_points", "tickets")
        ),
        "uncategorized": ("OTHER_story_points", "OTHER_tickets"),
    },
    "ticket-data": {"all": ("total_issues", "in_progress_hours", "to_do_hours", "total_lead_time_hours")},
}
# Names which the vendor's pages show differently from the metric; {} takes the aggregation.
_NAMES = {
    "LTTC": "LTTC_{}_Days",
    "DEPLOYMENT_FREQUENCY": "DF_Deployment_Count",
    "MTTR": "MTTR_{}_Hours",
    "CFR": "CFR_Percent",
}
_KEPT_UPPER = {"PR", "LOC", "CFR", "MTTR", "LTTC", "KTLO", "DF"}
_RATINGS = ("Elite", "High", "Medium", "Low")

LEGACY_PRODUCTIVITY = {
    "TIME_TO_FIRST_COMMENT": "Time to First Comment",
    "PR_VELOCITY_PER_DEV": "PR Velocity per Developer",
    "WORKTYPE_COMPLETED_PER_DEV": "Work Completed per Developer",
    "CODING_DAYS_PER_DEV": "Coding Days per Developer",
    "NUMBER_OF_COMMENTS_PER_PR": "Number of Comments per PR",
    "AVG_TIME_TO_COMPLETE": "Average Time to Complete",
}
LEGACY_EFFICIENCY = {
    "LEAD_TIME_FOR_CHANGES": "Lead Time for Changes ({})",
    "DEPLOYMENT_FREQUENCY": "Deployment Frequency",
    "CHANGE_FAILURE_RATE": "Change Failure Rate",
    "MEAN_TIME_TO_RESTORE": "Mean Time to Restore ({})",
    "OVERALL_DORA": "Overall DORA Score",
}
LEGACY_CONTRIBUTOR = {
    "PR_VELOCITY": "PR Velocity",
    "WORK_TYPE_COMPLETED": "Work Items Completed",
    "CODING_DAYS": "Coding Days",
    "TIME_TO_FIRST_COMMENT": "Time to First Comment",
    "NUMBER_OF_COMMENTS_PER_PR": "Review Intensity",
    "AVG_TIME_TO_COMPLETE": "Average Time to Complete",
    "NO_OF_PRS_WITH_MISSING_TICKETS": "PR Hygiene",
}


def metrics_of(family: ExportFamily, groups: Iterable[str], metrics: Iterable[str]) -> list[str]:
    """Return the metrics of ``groups`` and ``metrics`` without duplicates; of all groups if neither names any."""
    known = _GROUPS.get(family.name, {})
    wanted: list[str] = []
    for group in groups:
        wanted += known.get(group.casefold(), (f"{group}_total",))
    wanted += metrics
    if not wanted:
        wanted = [metric for group in known.values() for metric in group] or list(family.metrics) or ["value"]
    # Names are case-insensitive: PR_Merged and PR_MERGED are one column.
    return list({metric.casefold(): metric for metric in reversed(wanted)}.values())[::-1]


def column_name(metric: str, aggregation: str) -> str:
    """Return the column's name, in the style of the vendor's examples: ``PR_Merged``, ``LTTC_Mean_Days``."""
    if metric.upper() in _NAMES:
        return _NAMES[metric.upper()].format(aggregation.capitalize())
    if not metric.isupper():
        return metric
    return "_".join(word if word in _KEPT_UPPER else word.capitalize() for word in metric.split("_"))


def value_of(metric: str, *key: object) -> str:
    """Return the value of ``metric`` for ``key`` (who and when): always the same, plausible, sometimes missing."""
    number = zlib.crc32("|".join(map(str, (metric.casefold(), *key))).encode(errors="replace"))
    name = metric.upper()
    if "RATING" in name or "DORA" in name:
        return _RATINGS[number % len(_RATINGS)]
    if number % 29 == 0:
        return ""
    if name.startswith(("CFR", "CHANGE_FAILURE_RATE")):
        return f"{number % 3001 / 100:.2f}"
    if any(word in name for word in ("PERCENT", "RATE", "PREDICTABILITY")):
        return f"{number % 10001 / 100:.2f}"
    if any(word in name for word in ("TIME", "DAYS", "HRS", "HOURS", "LTTC", "MTTR", "VELOCITY", "AVG")):
        return f"{number % 4000 / 100:.2f}"
    return str(number % 120)
