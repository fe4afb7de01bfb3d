"""The export families of Harness SEI, each one declaration.

A reader opens this file first. A family is data: where its calls go, what its scope allows, which metric groups it
names and which options it takes, each value in the case the vendor documents. Nothing in the package branches on a
family's name, so a further family is one entry here (and one folder of samples for the tests).

Sources: the customer's API document (productivity); Harness developer hub, "Export Insights" pages for productivity,
efficiency, sprint, business alignment and time in status, and the vendor's OpenAPI document (operations of
productivity and sprints); all read 2026-11-23. Where these contradict each other, the comment beside the line says so.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from airflow_provider_sei.protocol.catalogue import metric_names
from airflow_provider_sei.protocol.errors import SEIUsageError
from airflow_provider_sei.protocol.suggestions import did_you_mean

__all__ = ["FAMILIES", "ExportFamily", "Option", "family_names", "get_family"]

_ROOT = "v2/insights"


@dataclass(frozen=True, kw_only=True)
class Option:
    """One entry of the request's ``options`` object."""

    argument: str
    """The name DAG authors use, the same in every family (``level``, ``granularity``, ...)."""
    key: str
    """The name the vendor uses for it in this family."""
    values: tuple[str, ...] = ()
    """The documented values, in the documented case; empty means free text."""
    default: str | None = None
    """Sent when the user says nothing, only where the vendor calls the option required. ``None`` leaves it out."""

    def documented(self, value: str) -> str | None:
        """Return ``value`` in the case the vendor documents, or ``None`` if it documents no such value."""
        if not self.values:
            return value.strip()
        wanted = value.strip().casefold()
        return next((known for known in self.values if known.casefold() == wanted), None)


@dataclass(frozen=True, kw_only=True)
class ExportFamily:
    """One export product of SEI. Paths are relative to the base URL and carry no leading or trailing slash."""

    name: str
    """What DAG authors write and triggers carry."""
    title: str
    """For people: the UI, log lines and the documentation."""
    collection_path: str
    """POST creates here, GET lists here."""
    item_path: str
    """``{item_path}/{exportId}`` is the status, ``{item_path}/{exportId}/download`` the file."""
    alternate_collection_path: str | None = None
    """A second documented spelling of ``collection_path``, tried once after a 404 or 405 (nothing was created then)."""
    team_and_org_tree: bool = False
    """Whether the documents show ``teamId`` and ``orgTreeName`` together; elsewhere they say "either, not both"."""
    identifiers_in_scope: bool = True
    """Whether ``orgTreeName`` needs ``orgIdentifier`` (and takes ``projectIdentifier``) inside ``scope``."""
    metric_groups: tuple[str, ...] = ()
    """The documented groups, all spellings that any document names."""
    metrics: tuple[str, ...] = ()
    """The documented metric names, by the catalogue. The vendor's list grows: an unknown one is never refused."""
    needs_metrics: bool = False
    """Whether the vendor calls ``metricGroups`` required."""
    insights_page: str | None = None
    """The page of the vendor's UI that shows the same metrics (``.../module/sei/insights/<page>``), where one does."""
    takes_issue_statuses: bool = False
    """Whether the body takes ``issueStatuses``, a list of workflow status names."""
    options: tuple[Option, ...] = field(default=())

    def option(self, argument: str) -> Option | None:
        """Return the option that DAG authors call ``argument``, or ``None`` if this family has none of that name."""
        return next((option for option in self.options if option.argument == argument), None)


_CSV = Option(argument="file_format", key="format", values=("csv",))
# Documented for efficiency only, yet the OpenAPI document lists it for all and every status example echoes it.
_GZIP = Option(argument="export_compression", key="compression", values=("gzip",))

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
    metrics=metric_names("productivity"),
    insights_page="productivity",
    options=(
        Option(argument="aggregation", key="aggregation", values=("mean",)),
        # The customer's document says aggregationLevel, the vendor's current page and all its answers metricLevel.
        Option(argument="level", key="aggregationLevel", values=("developer", "team")),
        Option(argument="granularity", key="granularity", values=("weekly", "monthly", "quarterly")),
        _CSV,
        _GZIP,
    ),
)

EFFICIENCY = ExportFamily(
    name="efficiency",
    title="Efficiency (DORA)",
    collection_path=f"{_ROOT}/efficiency/exports",
    item_path=f"{_ROOT}/efficiency/exports",
    metric_groups=(
        *("lttc", "df", "mttr", "cfr", "summary"),
        # Named by the second table of the same page only.
        *("work_items", "deployment_frequency", "rating"),
    ),
    metrics=metric_names("efficiency"),
    insights_page="dora",
    needs_metrics=True,
    options=(
        Option(
            argument="granularity",
            key="granularity",
            values=("WEEKLY", "MONTHLY", "QUARTERLY"),
            default="MONTHLY",
        ),
        Option(argument="aggregation", key="aggregation", values=("mean", "median", "p90", "p95")),
        _CSV,
        _GZIP,
    ),
)

SPRINT = ExportFamily(
    name="sprint",
    title="Sprint",
    # The page creates at "sprint" and reads at "sprints"; the OpenAPI document knows "sprints" alone.
    collection_path=f"{_ROOT}/sprint/exports",
    alternate_collection_path=f"{_ROOT}/sprints/exports",
    item_path=f"{_ROOT}/sprints/exports",
    metric_groups=("work", "delivery", "deliveryAnalysis", "analysis", "predictability", "velocity"),
    metrics=metric_names("sprint"),
    options=(
        Option(argument="computation_mode", key="computationMode", values=("STORY_POINTS", "TICKETS")),
        Option(argument="level", key="metricLevel", values=("team", "sprint")),
        Option(
            argument="granularity",
            key="granularity",
            values=("SPRINT", "WEEKLY", "MONTHLY", "QUARTERLY"),
            default="MONTHLY",
        ),
        Option(argument="aggregation", key="aggregation"),
        _CSV,
        _GZIP,
    ),
)

BA = ExportFamily(
    name="ba",
    title="Business alignment",
    collection_path=f"{_ROOT}/ba/exports",
    item_path=f"{_ROOT}/ba/exports",
    metric_groups=("CATEGORIZED", "UNCATEGORIZED"),
    insights_page="business-alignment",
    options=(
        Option(
            argument="granularity",
            key="granularity",
            values=("WEEKLY", "MONTHLY", "QUARTERLY"),
            default="MONTHLY",
        ),
        _CSV,
        _GZIP,
    ),
)

TICKET_DATA = ExportFamily(
    name="ticket-data",
    title="Issue time in status",
    collection_path=f"{_ROOT}/ticket-data/exports",
    item_path=f"{_ROOT}/ticket-data/exports",
    takes_issue_statuses=True,
    options=(
        Option(argument="level", key="aggregationLevel", values=("sprint", "team")),
        Option(argument="granularity", key="granularity", values=("daily", "weekly", "monthly", "quarterly")),
        Option(
            argument="terminal_date_column",
            key="terminalDateColumn",
            values=("issue_resolved_at", "version_release_date"),
        ),
        _CSV,
        _GZIP,
    ),
)


def _by_name(families: Iterable[ExportFamily]) -> dict[str, ExportFamily]:
    return {family.name: family for family in families}


FAMILIES: dict[str, ExportFamily] = _by_name((PRODUCTIVITY, EFFICIENCY, SPRINT, BA, TICKET_DATA))


def family_names() -> tuple[str, ...]:
    """Return the names of all families, in the order of their declaration."""
    return tuple(FAMILIES)


def get_family(name: object) -> ExportFamily:
    """Return the family called ``name``, in any case and with either dash or underscore.

    Raises:
        SEIUsageError: there is no such family; the message lists the known ones and guesses what was meant.
    """
    if isinstance(name, str):
        family = FAMILIES.get(name.strip().casefold().replace("_", "-"))
        if family is not None:
            return family
    msg = f"family {name!r} is not an SEI export family{did_you_mean(name, FAMILIES)}; known: {', '.join(FAMILIES)}"
    raise SEIUsageError(msg, field="family")
