"""On a cluster whose processes are killed, every export is created and delivered exactly once."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.cluster.processes import TRIGGERERS
from tests.cluster.services import BUCKET, LEAF_TEAMS
from tests.cluster.story import DAG_ID, PAST_REUSE_SECONDS, TASK_ID, Story

pytestmark = pytest.mark.live


def results(story: Story) -> list[dict[str, Any]]:
    """Return what each task returned, in the order of their map index."""
    return [story.api.returned(DAG_ID, story.run_id, task) for task in story.tasks()]


def test_each_team_is_exported_and_delivered_exactly_once(story: Story) -> None:
    """Byte for byte, in a bucket that has one version of each file, and no parts that killed workers uploaded."""
    assert Counter(task["state"] for task in story.tasks()) == {"success": LEAF_TEAMS}
    exports = {export["export_id"]: export for export in story.sei.exports()}
    assert len({export["request"]["scope"]["teamId"] for export in exports.values()}) == len(exports) == LEAF_TEAMS
    names = []
    for result in results(story):
        export = exports.pop(result["export_id"])
        names.append(urlsplit(result["uri"]).path.lstrip("/"))
        assert f"team-{export['request']['scope']['teamId']}_" in names[-1]
        stored = story.s3.get_object(Bucket=BUCKET, Key=names[-1])["Body"].read()
        assert hashlib.sha256(stored).hexdigest() == result["sha256"] == export["csv_sha256"]
    versions = story.s3.list_object_versions(Bucket=BUCKET)
    published = [one["Key"] for kind in ("Versions", "DeleteMarkers") for one in versions.get(kind, ())]
    assert sorted(published) == sorted(set(names)) == sorted(names)
    assert story.unfinished_uploads() == 0


def test_the_kills_had_an_effect(story: Story) -> None:
    """Create calls were repeated, files downloaded twice, and all waits moved, of which both triggerers held some."""
    assert any(export["requested"] > 1 for export in story.sei.exports())
    assert any(export["downloads"] > 1 for export in story.sei.exports())
    first, _, last = story.holders
    assert len(first) == len(TRIGGERERS)
    assert first.isdisjoint(last)


def test_a_clear_creates_a_fresh_export(story: Story) -> None:
    """And delivers that one."""
    before = results(story)[0]["export_id"]
    known = {export["export_id"] for export in story.sei.exports()}

    def created() -> list[str]:
        return [export["export_id"] for export in story.sei.exports() if export["export_id"] not in known]

    story.sei.advance(PAST_REUSE_SECONDS)
    body = {"task_ids": [[TASK_ID, 0]], "dag_run_id": story.run_id, "only_failed": False, "reset_dag_runs": True}
    story.api._send("POST", f"dags/{DAG_ID}/clearTaskInstances", {"dry_run": False, **body})
    story.until("the cleared task has created a new export", lambda: len(created()) > 0)
    story.sei.advance(PAST_REUSE_SECONDS)
    story.until("the cleared task has ended", lambda: story.tasks()[0]["state"] in {"success", "failed"})
    after = results(story)[0]
    assert [after["export_id"]] == created() != [before]
    assert after["reused"] is False
