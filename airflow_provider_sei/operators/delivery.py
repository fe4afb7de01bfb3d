"""What the delivering operators share: where the file goes, in which form, and how the result is described."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any

from airflow_provider_sei.exceptions import airflow_errors
from airflow_provider_sei.links import SEIInsightsLink, SEIObjectLink, console_url, insights_url, set_link
from airflow_provider_sei.operators.base import SEIBaseOperator, checked_flag, is_constant
from airflow_provider_sei.protocol.arguments import LAYOUTS
from airflow_provider_sei.protocol.checks import checked_choice, checked_names
from airflow_provider_sei.protocol.errors import SEIUsageError

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_sei.assets import Subject
    from airflow_provider_sei.delivery.deliver import Delivered
    from airflow_provider_sei.delivery.destination import Destination
    from airflow_provider_sei.hooks.sei import SEIHook
    from airflow_provider_sei.protocol.exports import Export

# The arguments that say where to and how, with what is taken for a value that is still to be rendered.
_STAND_INS = {
    "destination": "/",
    "layout": "flat",
    "compression": "keep",
    "overwrite": "replace",
    "use_server_name": False,
    "download_timeout": 1.0,
}
_FIELDS = tuple(_STAND_INS)


class SEIDeliveryOperator(SEIBaseOperator):
    """Base of the operators that deliver a file.

    :param destination: a folder (ending with a slash) or a full object name, as ``ObjectStoragePath`` takes it, with an
        Airflow connection where the store needs one (``s3://aws_default@lake/sei/``), or a local path. In a folder, the
        file is named after the request.
    :param layout: of the folder. ``flat`` puts all files into it, each with a name that stands for its whole request.
        ``hive`` makes a folder for each family, period and team, which query engines read as columns, with one file in
        it: ``family=productivity/period=2024-01/team=456/productivity.csv``. What else the request says is not in the
        name, so that a changed request replaces the file: exports that differ in it need destinations of their own.
    :param compression: ``keep`` the file as the server sends it, or make it ``gzip`` or ``none``. The name's ending
        always tells which.
    :param overwrite: ``replace`` an older object, ``skip`` writing if its content is the same, or ``fail`` if there is
        one.
    :param use_server_name: in a folder, take the server's file name, made safe, instead.
    :param download_timeout: seconds for the whole download.
    :param asset_partitions: partition keys for the events of the task's outlets (Airflow 3.3 and newer).

    Asset events of the task's ``outlets`` carry the task's result and what was asked for.
    """

    template_fields: Sequence[str] = (*_FIELDS, "asset_partitions", *SEIBaseOperator.template_fields)
    operator_extra_links = (SEIInsightsLink(), SEIObjectLink())

    def __init__(
        self,
        *,
        destination: str,
        layout: str = "flat",
        compression: str = "keep",
        overwrite: str = "replace",
        use_server_name: bool = False,
        download_timeout: float = 60 * 60,
        asset_partitions: Sequence[str] | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.destination = destination
        self.layout = layout
        self.compression = compression
        self.overwrite = overwrite
        self.use_server_name = use_server_name
        self.download_timeout = download_timeout
        self.asset_partitions = asset_partitions
        self.sei_links: dict[str, str] = {}
        self._subject: Subject | None = None
        self._delivered: Delivered | None = None
        given = {name: getattr(self, name) for name in _FIELDS}
        _checked({name: value if is_constant(value) else _STAND_INS[name] for name, value in given.items()})

    def checked_destination(self) -> Destination:
        """Return the destination, checked after rendering."""
        return _checked({name: getattr(self, name) for name in _FIELDS})

    @property
    def is_hive(self) -> bool:
        """Whether the layout is ``hive``; meaningful after rendering."""
        with airflow_errors():
            return checked_choice(self.layout, LAYOUTS, "layout") == "hive"

    def place(
        self,
        kind: str,
        *,
        date_start: str,
        date_end: str,
        fingerprint: str,
        org_tree_name: str | None = None,
        team_id: str | None = None,
    ) -> tuple[Destination, str]:
        """Return where the file of a request goes, and its name if that is a folder; all checked after rendering."""
        from airflow_provider_sei.protocol.naming import request_name

        if self.is_hive:
            return self.hive_place(
                kind, date_start=date_start, date_end=date_end, org_tree_name=org_tree_name, team_id=team_id
            )
        name = request_name(
            kind,
            date_start=date_start,
            date_end=date_end,
            fingerprint=fingerprint,
            org_tree_name=org_tree_name,
            team_id=team_id,
        )
        return self.checked_destination(), name

    def hive_place(
        self, kind: str, *, date_start: str, date_end: str, org_tree_name: str | None, team_id: str | None
    ) -> tuple[Destination, str]:
        """Return the partition's folder, and the file's name in it."""
        from airflow_provider_sei.protocol.naming import hive_folder, hive_name
        from airflow_provider_sei.protocol.periods import Period, period_label

        destination = self.checked_destination()
        period = period_label(Period(date.fromisoformat(date_start), date.fromisoformat(date_end)))
        folder = hive_folder(kind, period=period, org_tree_name=org_tree_name, team_id=team_id)
        return replace(destination, url=destination.url + folder), hive_name(kind)

    def begin(self, context: Mapping[str, Any], subject: Subject, insights_page: str | None = None) -> None:
        """Note what is about to be delivered, and show where people can look at it, before anything can defer."""
        self._subject = subject
        set_link(
            self.sei_links, context, SEIInsightsLink, insights_url(self.hook.settings, insights_page, subject.team_id)
        )

    def result(
        self,
        context: Mapping[str, Any],
        delivered: Delivered,
        *,
        export: Export | None = None,
        reused: bool | None = None,
    ) -> dict[str, Any]:
        """Tell log, links, lineage and asset events what was delivered; return it for XCom.

        Facts only: no content, no personal data.
        """
        from airflow_provider_sei.assets import tell_outlets

        self._delivered = delivered
        self.log.info(
            "%s %s: %d rows, %d bytes, sha256 %s",
            "Delivered" if delivered.written else "Unchanged",
            delivered.uri,
            delivered.rows,
            delivered.bytes,
            delivered.sha256,
        )
        subject = self._subject
        # A task that only downloads has asked for no period; the export's own state tells it.
        asked = subject if subject and subject.date_start else export
        result = {
            "uri": delivered.uri,
            "bytes": delivered.bytes,
            "rows": delivered.rows,
            "sha256": delivered.sha256,
            "written": delivered.written,
            "export_id": export.export_id if export else None,
            "family": subject.family if subject else None,
            "date_start": asked.date_start if asked else None,
            "date_end": asked.date_end if asked else None,
            "reused": reused,
            "created_at": export.created_at if export else None,
            "completed_at": export.completed_at if export else None,
        }
        set_link(self.sei_links, context, SEIObjectLink, console_url(delivered.uri))
        known = {name: value for name, value in result.items() if value is not None}
        tell_outlets(
            context,
            self.outlets,
            {**(subject.facts() if subject else {}), **known},
            list(checked_names(self.asset_partitions, "asset_partitions")),
        )
        return result

    def on_kill(self) -> None:
        """Leave a download in the midst, so that it cleans up in the seconds before the process is killed."""
        hook: SEIHook | None = self.__dict__.get("hook")
        if hook is not None:
            hook.interrupt()
        super().on_kill()

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any]:
        """Return where the delivered object came from; OpenLineage asks, where it is installed."""
        from airflow_provider_sei.lineage import lineage

        return lineage(self._subject.uri if self._subject else None, self._delivered)

    def get_openlineage_facets_on_failure(self, task_instance: Any) -> OperatorLineage[Any, Any]:
        """Return what was to be read, though nothing was delivered."""
        return self.get_openlineage_facets_on_complete(task_instance)


def _checked(given: dict[str, Any]) -> Destination:
    # Imported here: most runs of a DAG file need no more than the names of the operators.
    from airflow_provider_sei.delivery.destination import Destination

    with airflow_errors():
        destination = Destination.checked(
            given["destination"],
            compression=given["compression"],
            overwrite=given["overwrite"],
            use_server_name=checked_flag(given["use_server_name"], "use_server_name"),
            timeout=given["download_timeout"],
        )
        if checked_choice(given["layout"], LAYOUTS, "layout") == "hive":
            _check_hive(destination)
    return destination


def _check_hive(destination: Destination) -> None:
    """Raise ``SEIUsageError`` if folders and name cannot both be the layout's."""
    if not destination.is_folder:
        msg = (
            f"layout 'hive' makes folders and a name of its own, but destination {destination.url!r} is a full object"
            " name: end it with a slash if it is a folder, or leave layout out"
        )
        raise SEIUsageError(msg, field="layout")
    if destination.use_server_name:
        msg = (
            "layout 'hive' has one file a partition, but with use_server_name each export's file has another name:"
            " leave out one of the two"
        )
        raise SEIUsageError(msg, field="layout")
