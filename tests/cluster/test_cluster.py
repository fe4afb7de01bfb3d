"""On a cluster whose processes are killed, every export is created and delivered exactly once."""

from __future__ import annotations

from collections import Counter
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.cluster.processes import TRIGGERERS
from tests.cluster.services import LEAF_TEAMS
from tests.cluster.story import DAG_ID, PAST_REUSE_SECONDS, TASK_ID, Story

pytestmark = pytest.mark.live


def results(story: Story) -> list[dict[str, Any]]:
    """Return what each task returned, in the order of their map index."""
    return [story.api.returned(DAG_ID, story.run_id, task) for task in story.tasks()]


def team_of(export: dict[str, Any]) -> str:
    """Return the team that an export is of."""
    team: str = export["request"]["scope"]["teamId"]
    return team


def name_of(result: dict[str, Any]) -> str:
    """Return the name, in the bucket, of the object that a task delivered."""
    return urlsplit(result["uri"]).path.lstrip("/")


class TestAfterKills:
    """After workers, triggerers and the server were killed."""

    def test_every_task_succeeds(self, story: Story) -> None:
        """All twenty."""
        assert Counter(task["state"] for task in story.tasks()) == {"success": LEAF_TEAMS}

    def test_each_team_is_exported_exactly_once(self, story: Story) -> None:
        """Though create calls and downloads were repeated."""
        teams = Counter(map(team_of, story.sei.exports()))
        assert len(teams) == LEAF_TEAMS
        assert set(teams.values()) == {1}

    def test_every_file_is_byte_exact(self, story: Story) -> None:
        """The bucket has what the server generated for the team."""
        exports = {export["export_id"]: export for export in story.sei.exports()}
        for result in results(story):
            export = exports.pop(result["export_id"])
            assert f"team-{team_of(export)}_" in name_of(result)
            assert story.bucket.sha256(name_of(result)) == result["sha256"] == export["csv_sha256"]
        assert exports == {}

    def test_every_file_is_published_once(self, story: Story) -> None:
        """The versioned bucket has one version of each file and nothing else."""
        names = sorted(map(name_of, results(story)))
        assert story.bucket.published() == names
        assert len(set(names)) == LEAF_TEAMS

    def test_no_unfinished_upload_is_left(self, story: Story) -> None:
        """Parts that a killed worker had uploaded are deleted."""
        assert story.bucket.unfinished_uploads() == []

    def test_a_worker_was_killed_in_create(self, story: Story) -> None:
        """Some create calls were repeated, and the server reused the export."""
        assert any(export["requested"] > 1 for export in story.sei.exports())

    def test_a_worker_was_killed_in_download(self, story: Story) -> None:
        """Some files were downloaded twice."""
        assert any(export["downloads"] > 1 for export in story.sei.exports())

    def test_every_wait_was_moved(self, story: Story) -> None:
        """Both triggerers held waits when they were killed; others have all of them in the end."""
        first, _, last = story.holders
        assert len(first) == len(TRIGGERERS)
        assert first.isdisjoint(last)


def test_a_clear_creates_a_fresh_export(story: Story) -> None:
    """And delivers that one."""
    before = results(story)[0]
    [team] = [team_of(export) for export in story.sei.exports() if export["export_id"] == before["export_id"]]

    def exports() -> list[str]:
        return [export["export_id"] for export in story.sei.exports() if team_of(export) == team]

    story.sei.advance(PAST_REUSE_SECONDS)
    story.api.clear(DAG_ID, story.run_id, TASK_ID, 0)
    story.until("the cleared task has created a new export", lambda: len(exports()) > 1)
    story.sei.advance(PAST_REUSE_SECONDS)
    story.until("the cleared task has ended", lambda: story.tasks()[0]["state"] in {"success", "failed"})
    after = results(story)[0]
    assert exports() == [before["export_id"], after["export_id"]]
    assert after["reused"] is False
