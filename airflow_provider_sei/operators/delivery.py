"""What the delivering operators share: where the file goes, in which form, and how the result is described."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_sei.assets import Subject, tell_outlets
from airflow_provider_sei.exceptions import airflow_errors
from airflow_provider_sei.links import SEIInsightsLink, SEIObjectLink, console_url, insights_url, set_link
from airflow_provider_sei.operators.base import SEIBaseOperator, checked_flag, is_constant
from airflow_provider_sei.protocol.checks import checked_names

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_sei.delivery.deliver import Delivered
    from airflow_provider_sei.delivery.destination import Destination
    from airflow_provider_sei.protocol.exports import Export

# The arguments that say where to and how, with what is taken for a value that is still to be rendered.
_STAND_INS = {
    "destination": "/",
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
        compression: str = "keep",
        overwrite: str = "replace",
        use_server_name: bool = False,
        download_timeout: float = 60 * 60,
        asset_partitions: Sequence[str] | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.destination = destination
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
        self._delivered = delivered
        self.log.info(
            "Delivered %s: %d rows, %d bytes, sha256 %s",
            delivered.uri,
            delivered.rows,
            delivered.bytes,
            delivered.sha256,
        )
        subject = self._subject
        result = {
            "uri": delivered.uri,
            "bytes": delivered.bytes,
            "rows": delivered.rows,
            "sha256": delivered.sha256,
            "export_id": export.export_id if export else None,
            "family": subject.family if subject else None,
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
        return Destination.checked(
            given["destination"],
            compression=given["compression"],
            overwrite=given["overwrite"],
            use_server_name=checked_flag(given["use_server_name"], "use_server_name"),
            timeout=given["download_timeout"],
        )
