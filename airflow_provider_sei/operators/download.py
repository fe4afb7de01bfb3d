"""The operator that delivers an export which is completed already."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_sei.exceptions import airflow_errors
from airflow_provider_sei.operators.base import checked_flag, is_constant
from airflow_provider_sei.operators.delivery import SEIDeliveryOperator
from airflow_provider_sei.protocol.arguments import checked_export_id
from airflow_provider_sei.protocol.families import get_family

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

__all__ = ["SEIDownloadExportOperator"]


class SEIDownloadExportOperator(SEIDeliveryOperator):
    """Deliver the file of a completed export; the task's result is the same dict as ``SEIExportOperator``'s.

    :param family: the export's family.
    :param export_id: the export, as ``SEICreateExportOperator`` or ``SEIExportSensor`` return it.

    All other arguments: :class:`SEIDeliveryOperator <airflow_provider_sei.operators.delivery.SEIDeliveryOperator>`, and
    ``verify_size`` as of :class:`SEIExportOperator <airflow_provider_sei.operators.sei.SEIExportOperator>`. In a flat
    folder, the file is named after family and id; in a Hive layout, its place is that of the period and the scope which
    the server says the export is of.
    """

    template_fields: Sequence[str] = ("family", "export_id", "verify_size", *SEIDeliveryOperator.template_fields)

    def __init__(
        self,
        *,
        family: str,
        export_id: str,
        verify_size: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.family = family
        self.export_id = export_id
        self.verify_size = verify_size
        with airflow_errors():
            if is_constant(family):
                get_family(family)
            if is_constant(export_id):
                checked_export_id(export_id)
            if is_constant(verify_size):
                checked_flag(verify_size, "verify_size")

    def execute(self, context: Context) -> dict[str, Any]:
        """Read the export's state and deliver its file."""
        from airflow_provider_sei.assets import Subject
        from airflow_provider_sei.protocol.downloads import told_period

        destination = self.checked_destination()
        with airflow_errors():
            verify_size = checked_flag(self.verify_size, "verify_size")
            family = get_family(self.family)
        settings = self.hook.settings
        subject = Subject(
            family=family.name,
            org_identifier=settings.org_identifier,
            project_identifier=settings.project_identifier,
        )
        self.begin(context, subject, family.insights_page)
        export = self.hook.get_export(family.name, self.export_id)
        name = None
        if self.is_hive:
            with airflow_errors():
                date_start, date_end = told_period(export)
            destination, name = self.hive_place(
                family.name,
                date_start=date_start,
                date_end=date_end,
                org_tree_name=export.org_tree_name,
                team_id=export.team_id,
            )
        delivered = self.hook.download_export(export, destination, name=name, verify_size=verify_size)
        return self.result(context, delivered, export=export)
