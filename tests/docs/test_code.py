"""Every Python block of the documentation runs: DAGs deliver, tests pass."""

from __future__ import annotations

import ast
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_sei.hooks.sei import SEIHook
from tests.docs.pages import DOCS, README, Block, block, blocks

pytest_plugins = ["pytester"]

FILES = re.compile(r"# \S+\.py\n")
"""The first line of blocks that are several files of one project; they have tests of their own."""
PYTHON = [each for each in blocks("python") if not FILES.match(each.text)]
RESULTS = [each for each in PYTHON if each.text.startswith("{")]
DAGS = [each for each in PYTHON if "with DAG(" in each.text]
TESTS = [each for each in PYTHON if "def test_" in each.text]
OTHERS = [each for each in PYTHON if each not in (*RESULTS, *DAGS, *TESTS)]

PERIOD = {"date_start": "2024-01-01", "date_end": "2024-03-31"}
PLUGIN = ("-p", "no:sei", "-p", "airflow_provider_sei.pytest_plugin", "--strict-markers", "-p", "no:cacheprovider")


def deliveries(dag_run: Any) -> list[dict[str, Any]]:
    """Return the results of a run's deliveries."""
    found = [
        instance.xcom_pull(task_ids=instance.task_id, map_indexes=instance.map_index, run_id=dag_run.run_id)
        for instance in dag_run.get_task_instances()
    ]
    return [result for result in found if isinstance(result, dict) and "uri" in result]


@pytest.mark.usefixtures("sei_connection", "quick", "no_jitter")
class TestDags:
    """Blocks with a DAG, each a whole file."""

    @pytest.mark.parametrize("example", DAGS, ids=lambda each: each.place)
    def test_it_delivers_what_the_server_made(
        self, load: Any, here: Callable[[str], str], sei_server: Any, example: Block
    ) -> None:
        """Only the destination is changed."""
        [dag] = load(here(example.text)).values()
        if "watchers=" in example.text:  # shows how a DAG is scheduled, not what it does
            assert not dag.tasks
            return
        conf = {}
        if {"export_id", "date_from"} & dag.params.keys():
            conf["export_id"] = SEIHook().create_export(family="sprint", team_id="456", **PERIOD).export_id
        dag_run = dag.test(run_conf=conf)
        assert dag_run.state == "success"
        delivered = {result["sha256"] for result in deliveries(dag_run)}
        assert delivered == {record.csv_sha256 for record in sei_server.exports} != set()

    def test_the_quick_start_delivers_what_it_shows(
        self, load: Any, here: Callable[[str], str], tmp_path: Path
    ) -> None:
        """The same name and size; and the README's result has the same keys."""
        page = DOCS / "quickstart.md"
        shown = ast.literal_eval(block(page, '"uri": '))
        [dag] = load(here(block(page, "with DAG("))).values()
        [result] = deliveries(dag.test())
        assert set(result) == set(shown) == set(ast.literal_eval(block(README, '"uri": ')))
        same = ("bytes", "rows", "family", "reused")
        assert [result[name] for name in same] == [shown[name] for name in same]
        [name] = (file.name for file in tmp_path.iterdir())
        assert shown["uri"].rpartition("/")[2] == name
        assert f"\n```text\n{name}\n```\n" in page.read_text()

    @pytest.mark.sei_server(project="my_project", api_key="my-key")
    def test_the_quick_start_delivers_from_an_own_account(
        self, load: Any, here: Callable[[str], str], sei_server: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The account is a local server's: only host, key and account of the page's connection are filled in."""
        page = DOCS / "quickstart.md"
        shown = block(page, '"password": "<key>"').partition("=")[2].strip().strip("'")
        for blank, own in (("prod1", sei_server.base_url), ("<key>", "my-key"), ("<account>", "my_account")):
            shown = shown.replace(blank, own)
        monkeypatch.setenv("AIRFLOW_CONN_SEI_DEFAULT", shown)
        assert SEIHook().test_connection()[0]
        [dag] = load(here(block(page, "with DAG(")).replace('"456"', '"123"')).values()
        [result] = deliveries(dag.test())
        assert result["sha256"] == sei_server.exports[0].csv_sha256

    def test_the_first_example_delivers_the_month_before(
        self, load: Any, here: Callable[[str], str], sei_server: Any
    ) -> None:
        """If it runs on the first of a month."""
        from pendulum import datetime

        [dag] = load(here(block(README, "engineering_metrics"))).values()
        assert dag.test(logical_date=datetime(2024, 3, 1, 3)).state == "success"
        assert sei_server.exports[0].request["dateRange"] == {"start": "2024-02-01", "end": "2024-02-29"}


def test_every_test_that_is_shown_passes(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a separate pytest, with the installed plugin."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    pytester.makepyfile(**{f"test_block_{number}": each.text for number, each in enumerate(TESTS)})
    outcomes = pytester.runpytest_subprocess(*PLUGIN)
    outcomes.assert_outcomes(passed=sum(each.text.count("def test_") for each in TESTS))


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
