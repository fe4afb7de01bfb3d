"""Every Python block of the documentation runs, except the tests in docs/testing.md: tests/matrix has them."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_sei.hooks.sei import SEIHook
from tests.docs.pages import DOCS, README, Block, block, blocks

QUICKSTART = DOCS / "quickstart.md"
FILES = re.compile(r"# \S+\.py\n")
"""The first line of blocks that are several files of one project; they have tests of their own."""
PYTHON = [
    each for each in blocks("python") if not FILES.match(each.text) and not each.place.startswith("docs/testing.md")
]
DAGS = [each for each in PYTHON if "with DAG(" in each.text]
OTHERS = [each for each in PYTHON if each not in DAGS and not each.text.startswith("{")]
PERIOD = {"date_start": "2024-01-01", "date_end": "2024-03-31"}


def deliveries(dag_run: Any) -> list[dict[str, Any]]:
    """Return the results of a run's deliveries."""
    found = [
        instance.xcom_pull(task_ids=instance.task_id, map_indexes=instance.map_index, run_id=dag_run.run_id)
        for instance in dag_run.get_task_instances()
    ]
    return [result for result in found if isinstance(result, dict) and "uri" in result]


@pytest.mark.usefixtures("sei_connection", "quick")
@pytest.mark.sei_server(leaf_teams=3)
class TestDags:
    """Blocks with a DAG, each a whole file."""

    @pytest.mark.parametrize(
        "example",
        [each for each in DAGS if each.place[:8] not in {"README.m", "docs/qui"}],
        ids=lambda each: each.place,
    )
    def test_it_delivers_what_the_server_made(self, run_text: Any, sei_server: Any, example: Block) -> None:
        """An export's id is the only param that has no default."""
        conf = {}
        if "export_id" in example.text:
            conf["export_id"] = SEIHook().create_export(family="sprint", team_id="456", **PERIOD).export_id
        run = run_text(example.text, None, conf)
        assert run.state == "success"
        delivered = {result["sha256"] for result in deliveries(run)}
        assert delivered == {record.csv_sha256 for record in sei_server.exports} != set()

    def test_the_first_example_delivers_the_month_before(self, run_text: Any, sei_server: Any) -> None:
        """If it runs on the first of a month."""
        run = run_text(block(README, "engineering_metrics"), datetime(2024, 3, 1, 3, tzinfo=UTC))
        assert sei_server.exports[0].request["dateRange"] == {"start": "2024-02-01", "end": "2024-02-29"}
        assert deliveries(run)[0]["sha256"] == sei_server.exports[0].csv_sha256

    def test_the_quick_start_delivers_what_it_shows(self, run_text: Any, tmp_path: Path) -> None:
        """The same name and size; and the README's result has the same keys."""
        shown = ast.literal_eval(block(QUICKSTART, '"uri": '))
        [result] = deliveries(run_text(block(QUICKSTART, "with DAG(")))
        assert set(result) == set(shown) == set(ast.literal_eval(block(README, '"uri": ')))
        same = ("bytes", "rows", "family", "reused")
        assert [result[name] for name in same] == [shown[name] for name in same]
        [name] = (file.name for file in tmp_path.iterdir())
        assert shown["uri"].rpartition("/")[2] == name
        assert f"\n```text\n{name}\n```\n" in QUICKSTART.read_text()

    @pytest.mark.sei_server(project="my_project", api_key="my-key")
    def test_the_quick_start_delivers_from_an_own_account(
        self, run_text: Any, sei_server: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The account is a local server's: only host, key and account of the page's connection are filled in."""
        shown = block(QUICKSTART, '"password": "<key>"').partition("=")[2].strip().strip("'")
        for blank, own in (("prod1", sei_server.base_url), ("<key>", "my-key"), ("<account>", "my_account")):
            shown = shown.replace(blank, own)
        monkeypatch.setenv("AIRFLOW_CONN_SEI_DEFAULT", shown)
        assert SEIHook().test_connection()[0]
        [result] = deliveries(run_text(block(QUICKSTART, "with DAG(").replace('"456"', '"123"')))
        assert result["sha256"] == sei_server.exports[0].csv_sha256


@pytest.mark.usefixtures("sei_connection")
@pytest.mark.parametrize("example", OTHERS, ids=lambda each: each.place)
def test_other_blocks_run(here: Callable[[str], str], capsys: pytest.CaptureFixture[str], example: Block) -> None:
    """Against the local server, without reporting a failure."""
    names: dict[str, Any] = {"__name__": "shown"}
    exec(compile(here(example.text), example.place, "exec"), names)  # noqa: S102 - the page's own code
    assert "False" not in capsys.readouterr().out


@pytest.mark.usefixtures("sei_connection")
def test_the_operator_with_the_trigger_waits(fire: Any) -> None:
    """docs/howto/trigger.md: it defers, and returns the export's id."""
    from airflow.providers.common.compat.sdk import TaskDeferred

    names: dict[str, Any] = {"__name__": "shown"}
    exec(block(DOCS / "howto" / "trigger.md", "class WaitAnHour"), names)  # noqa: S102 - the page's own code
    export = SEIHook().create_export(family="productivity", team_id="456", **PERIOD)
    waiting = names["WaitAnHour"](task_id="wait", export_id=export.export_id)
    with pytest.raises(TaskDeferred) as deferred:
        waiting.execute({})
    event = fire(deferred.value.trigger)
    assert getattr(waiting, deferred.value.method_name)({}, event) == export.export_id
