"""What the delivering operators share: where the file goes, in which form, and how the result is described."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_sei.exceptions import airflow_errors
from airflow_provider_sei.operators.base import SEIBaseOperator, is_constant

if TYPE_CHECKING:
    from airflow_provider_sei.delivery.deliver import Delivered
    from airflow_provider_sei.delivery.destination import Destination
    from airflow_provider_sei.protocol.exports import Export

_FIELDS = ("destination", "compression", "overwrite", "use_server_name", "download_timeout")


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
    """

    template_fields: Sequence[str] = (*_FIELDS, *SEIBaseOperator.template_fields)

    def __init__(
        self,
        *,
        destination: str,
        compression: str = "keep",
        overwrite: str = "replace",
        use_server_name: bool = False,
        download_timeout: float = 60 * 60,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.destination = destination
        self.compression = compression
        self.overwrite = overwrite
        self.use_server_name = use_server_name
        self.download_timeout = download_timeout
        if all(is_constant(getattr(self, name)) for name in _FIELDS):
            self.checked_destination()

    def checked_destination(self) -> Destination:
        """Return the destination, checked after rendering."""
        from airflow_provider_sei.delivery.destination import Destination

        with airflow_errors():
            return Destination.checked(
                self.destination,
                compression=self.compression,
                overwrite=self.overwrite,
                use_server_name=self.use_server_name,
                timeout=self.download_timeout,
            )

    def result(
        self, delivered: Delivered, *, family: str, export: Export | None = None, reused: bool | None = None
    ) -> dict[str, Any]:
        """Log what was delivered and return it for XCom: facts, no content, no personal data."""
        self.log.info(
            "Delivered %s: %d rows, %d bytes, sha256 %s",
            delivered.uri,
            delivered.rows,
            delivered.bytes,
            delivered.sha256,
        )
        return {
            "uri": delivered.uri,
            "bytes": delivered.bytes,
            "rows": delivered.rows,
            "sha256": delivered.sha256,
            "export_id": export.export_id if export else None,
            "family": family,
            "reused": reused,
            "created_at": export.created_at if export else None,
            "completed_at": export.completed_at if export else None,
        }
