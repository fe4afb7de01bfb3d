"""docs/howto/notifications.md: the callbacks send what the page says, in a DAG's run and after its deadline."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_sei.hooks.sei import SEIHook
from tests.docs.pages import DOCS, block

PAGE = DOCS / "howto" / "notifications.md"
# ``dag.test()`` would wait for five minutes before a retry.
NIGHTLY = block(PAGE, "# dags/sei_nightly_watched.py").replace('"retries": 2', '"retries": 0')


@pytest.fixture
def sent(raw_server: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], list[str]]:
    """Return what a chat's webhook got; the page's module can be imported."""
    server = raw_server(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    monkeypatch.setenv("CHAT_WEBHOOK", server.origin)
    monkeypatch.setattr(SEIHook, "_pause", lambda *_: None)
    (tmp_path / "sei_notifications.py").write_text(block(PAGE, "# plugins/sei_notifications.py"))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "sei_notifications", raising=False)
    return lambda: [json.loads(request.partition(b"\r\n\r\n")[2])["text"] for request in server.received]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("call", "effect", "advice"),
    [
        ("create", {"effect": "answer", "status": 403}, "Renew the API key or correct its role (403)."),
        ("create", {"effect": "outcome", "status": "failed", "error": "Too large"}, "Ask Harness about exp_"),
        ("download", {"effect": "cut", "after_bytes": 1, "times": None}, "Clear the task"),
    ],
    ids=["auth", "failed", "transient"],
)
def test_a_failed_task_sends_what_its_error_is(
    sent: Callable[[], list[str]], run_text: Any, sei_server: Any, *, call: str, effect: dict[str, Any], advice: str
) -> None:
    """Once, with the typed error's fields."""
    sei_server.faults.add(call, **effect)
    assert run_text(NIGHTLY).state == "failed"
    [text] = sent()
    assert text.startswith(f"sei_nightly_watched.export failed. {advice}")
    assert "export" in text.partition("\n")[2]


def test_a_missed_deadline_sends_which_run_is_late(sent: Callable[[], list[str]], dags_folder: Path) -> None:
    """From the run that the scheduler creates to the triggerer's call."""
    from airflow import settings
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
    from airflow.models.dagbag import DBDagBag
    from airflow.models.deadline import Deadline
    from airflow.triggers.callback import CallbackTrigger
    from airflow.utils.types import DagRunTriggeredByType, DagRunType
    from pendulum import datetime

    session = settings.Session()
    DagBundlesManager().sync_bundles_to_db(session=session)
    session.commit()
    file = dags_folder / "of_the_documentation.py"
    file.write_text(NIGHTLY)
    sync_bag_to_db(DagBag(str(file)), "dags-folder", None)
    file.unlink()
    night = datetime(2024, 3, 1, 2, 30)
    dag = DBDagBag().get_latest_version_of_dag("sei_nightly_watched", session=session)
    run = dag.create_dagrun(
        run_id="night",
        logical_date=night,
        data_interval=(night, night),
        run_after=night,
        run_type=DagRunType.SCHEDULED,
        triggered_by=DagRunTriggeredByType.TIMETABLE,
        state="running",
        session=session,
    )
    session.flush()
    [deadline] = session.query(Deadline).filter_by(dagrun_id=run.id)
    assert deadline.deadline_time == night.add(hours=4)
    deadline.handle_miss(session)
    trigger = CallbackTrigger(**deadline.callback.trigger.kwargs)
    session.rollback()

    async def states() -> list[str]:
        return [event.payload["state"] async for event in trigger.run()]

    assert asyncio.run(states())[-1] == "success"
    assert sent() == ["sei_nightly_watched is late: night is still running."]
