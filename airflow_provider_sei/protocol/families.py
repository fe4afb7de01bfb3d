"""The export families of Harness SEI. Each is one declaration, with values in the case that the vendor documents.

No other module depends on a family's name. Sources: the customer's API document (productivity); Harness developer hub,
"Export Insights" pages for productivity, efficiency, sprint, business alignment and time in status, and the vendor's
OpenAPI document (operations of productivity and sprints); all read 2026-11-23. Where these contradict each other, a
comment says which one is followed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from airflow_provider_sei.protocol.metrics import metric_names

_ROOT = "v2/insights"


@dataclass(frozen=True)
class Option:
    """One entry of the request's ``options`` object."""

    argument: str
    """The operators' name for it, the same in every family (``level``, ``granularity``, ...)."""
    key: str
    """The vendor's name for it in this family."""
    values: tuple[str, ...] = ()
    """The documented values, in the documented case; empty means any text."""
    default: str | None = None
    """Sent if the user gives no value, where the vendor requires the option. ``None`` leaves it out."""
    open_ended: bool = False
    """Whether the documents show ``values`` without saying that there are no others."""
    many: bool = False
    """Whether it takes a list of values."""

    def documented(self, value: str) -> str | None:
        """Return ``value`` in the documented case; another one as written if any may be sent, else ``None``."""
        word = value.strip()
        other = word if self.open_ended or not self.values else None
        return next((known for known in self.values if known.casefold() == word.casefold()), other)


@dataclass(frozen=True, kw_only=True)
class ExportFamily:
    """One export product of SEI. Paths are relative to the base URL, without a slash at either end."""

    name: str
    title: str
    collection_path: str
    """POST creates here, GET lists here."""
    item_path: str
    """``{item_path}/{exportId}`` is the status, ``{item_path}/{exportId}/download`` the file."""
    alternate_collection_path: str | None = None
    """A second documented path, see :meth:`alternate`."""
    team_and_org_tree: bool = False
    """Whether ``teamId`` and ``orgTreeName`` may be given together; other pages say "either, not both"."""
    identifiers_in_scope: bool = True
    """Whether ``orgTreeName`` needs ``orgIdentifier`` (and takes ``projectIdentifier``) inside ``scope``."""
    metric_groups: tuple[str, ...] = ()
    """The documented groups, in all documented spellings."""
    needs_metrics: bool = False
    metrics_or_groups: bool = False
    """Whether its page says ``metrics`` or ``metricGroups``, not both; other pages merge them."""
    insights_page: str | None = None
    """The page of the vendor's UI with the same metrics (``.../module/sei/insights/<page>``), if there is one."""
    takes_issue_statuses: bool = False
    options: tuple[Option, ...] = ()

    @property
    def metrics(self) -> tuple[str, ...]:
        """The documented metric names."""
        return metric_names(self.name)

    def alternate(self, status_code: int | None) -> ExportFamily | None:
        """Return the family with its other documented path after a 404 or 405 (nothing was created), or ``None``."""
        if status_code not in (404, 405) or self.alternate_collection_path is None:
            return None
        return replace(self, collection_path=self.alternate_collection_path, alternate_collection_path=None)

    def option(self, argument: str) -> Option | None:
        """Return the option whose operator argument is ``argument``, or ``None``."""
        return next((option for option in self.options if option.argument == argument), None)


_CSV = Option("file_format", "format", ("csv",))
# Documented for efficiency only, yet the OpenAPI document lists it for all and every status example echoes it.
_GZIP = Option("export_compression", "compression", ("gzip",))
_PERIODS = ("WEEKLY", "MONTHLY", "QUARTERLY")
_GRANULARITY = Option("granularity", "granularity", _PERIODS, default="MONTHLY")

PRODUCTIVITY = ExportFamily(
    name="productivity",
    title="Productivity",
    collection_path=f"{_ROOT}/productivity/exports",
    item_path=f"{_ROOT}/productivity/exports",
    team_and_org_tree=True,
    identifiers_in_scope=False,
    metric_groups=(
        *("activity", "velocity", "volume", "quality", "collaboration"),
        # The OpenAPI document's older labels, still accepted by its wording.
        *("pr", "work", "loc", "review", "rework", "codingDays", "commitsTotal"),
    ),
    insights_page="productivity",
    options=(
        Option("aggregation", "aggregation", ("mean",), open_ended=True),
        # The customer's document says aggregationLevel, the vendor's current page and all its answers metricLevel.
        Option("level", "aggregationLevel", ("developer", "team")),
        Option("granularity", "granularity", ("weekly", "monthly", "quarterly")),
        *(_CSV, _GZIP),
    ),
)

EFFICIENCY = ExportFamily(
    name="efficiency",
    title="Efficiency (DORA)",
    collection_path=f"{_ROOT}/efficiency/exports",
    item_path=f"{_ROOT}/efficiency/exports",
    metric_groups=(
        *("lttc", "df", "mttr", "cfr", "summary"),
        # Only in the second table of the same page.
        *("work_items", "deployment_frequency", "rating"),
    ),
    insights_page="dora",
    needs_metrics=True,
    metrics_or_groups=True,
    options=(
        *(_GRANULARITY, Option("aggregation", "aggregation", ("mean", "median", "p90", "p95"))),
        # On the page since 2026 (read 2026-11-26): JSON, and a filter that splits the lead time, so it needs lttc.
        *(replace(_CSV, values=("csv", "json")), _GZIP),
        Option("work_category_filter", "workCategoryFilter", ("ALL", "BUGS", "FEATURES"), many=True),
    ),
)

SPRINT = ExportFamily(
    name="sprint",
    title="Sprint",
    # The page creates at "sprint" and reads at "sprints"; the OpenAPI document has only "sprints".
    collection_path=f"{_ROOT}/sprint/exports",
    alternate_collection_path=f"{_ROOT}/sprints/exports",
    item_path=f"{_ROOT}/sprints/exports",
    metric_groups=("work", "delivery", "deliveryAnalysis", "analysis", "predictability", "velocity"),
    options=(
        Option("computation_mode", "computationMode", ("STORY_POINTS", "TICKETS")),
        Option("level", "metricLevel", ("team", "sprint")),
        replace(_GRANULARITY, values=("SPRINT", *_PERIODS)),
        Option("aggregation", "aggregation"),
        *(_CSV, _GZIP),
    ),
)

BA = ExportFamily(
    name="ba",
    title="Business alignment",
    collection_path=f"{_ROOT}/ba/exports",
    item_path=f"{_ROOT}/ba/exports",
    metric_groups=("CATEGORIZED", "UNCATEGORIZED"),
    insights_page="business-alignment",
    options=(_GRANULARITY, _CSV, _GZIP),
)

TICKET_DATA = ExportFamily(
    name="ticket-data",
    title="Issue time in status",
    collection_path=f"{_ROOT}/ticket-data/exports",
    item_path=f"{_ROOT}/ticket-data/exports",
    takes_issue_statuses=True,
    options=(
        Option("level", "aggregationLevel", ("sprint", "team")),
        Option("granularity", "granularity", ("daily", "weekly", "monthly", "quarterly")),
        Option("terminal_date_column", "terminalDateColumn", ("issue_resolved_at", "version_release_date")),
        *(_CSV, _GZIP),
    ),
)

FAMILIES = {family.name: family for family in (PRODUCTIVITY, EFFICIENCY, SPRINT, BA, TICKET_DATA)}


def get_family(name: object) -> ExportFamily:
    """Return the family called ``name``, in any case, with dashes or underscores."""
    if isinstance(name, str) and (family := FAMILIES.get(name.strip().casefold().replace("_", "-"))):
        return family
    from airflow_provider_sei.exceptions import SEIArgumentError  # the local server reads this module without Airflow

    msg = f"family {name!r} is not an SEI export family{did_you_mean(name, FAMILIES)}; known: {', '.join(FAMILIES)}"
    raise SEIArgumentError(msg, field="family")


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """Return ``": did you mean 'x'?"`` for the closest known word, or an empty string if none is close."""
    if not isinstance(word, str):
        return ""
    import difflib  # needed for errors only, and DAG files load this module

    by_folded = {candidate.casefold(): candidate for candidate in known}
    close = difflib.get_close_matches(word.strip().casefold(), by_folded)
    return f": did you mean {by_folded[close[0]]!r}?" if close else ""
