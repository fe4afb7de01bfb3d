"""Hook-level lineage: what a ``@task`` that calls the hook has read and written.

Operators describe themselves in more detail (``airflow_provider_sei.lineage``); OpenLineage asks the hooks only where
an operator says nothing, so nothing is told twice.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from airflow_provider_sei.assets import Subject

if TYPE_CHECKING:
    from airflow_provider_sei.delivery.deliver import Delivered
    from airflow_provider_sei.hooks.sei import SEIHook

__all__ = ["tell_lineage"]

log = logging.getLogger("airflow_provider_sei")


def tell_lineage(hook: SEIHook, subject: Subject, delivered: Delivered) -> None:
    """Tell Airflow's lineage collector; it does nothing unless something like OpenLineage is installed to read it.

    The file is delivered by then, so trouble with lineage is only logged, where debugging is on.
    """
    try:
        from airflow.providers.common.compat.lineage.hook import get_hook_lineage_collector

        collector = get_hook_lineage_collector()
        collector.add_input_asset(context=hook, uri=subject.uri)
        collector.add_output_asset(context=hook, uri=delivered.uri)
    except Exception:
        log.debug("could not tell the lineage of %s", delivered.uri, exc_info=True)
