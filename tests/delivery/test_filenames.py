"""Names of delivered objects: patterns, default names and the hive layout."""

from __future__ import annotations

from pathlib import PurePosixPath, PureWindowsPath
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_sei.delivery.destination import FIELDS, Destination
from airflow_provider_sei.exceptions import SEIArgumentError
from tests.protocol.strategies import ANYTHING, texts

REQUEST = {
    "family": "ba",
    "team_id": "456",
    "org_tree_name": "Engineering",
    "date_start": "2024-01-01",
    "date_end": "2024-01-31",
    "export_id": "exp_1",
    "account": "acc",
    "project": "proj",
    "org": "default",
    "scope": "5d41402a" * 8,
    "fingerprint": "3f9a1c2e" * 8,
}


def resolved(url: str, *, layout: str = "flat", **changes: str | None) -> str:
    """Return the full object name for the request with these changes."""
    destination = Destination.from_arguments(url, layout=layout).resolve({**REQUEST, **changes})
    assert destination.resolve({}) == destination
    return destination.url


def test_every_field_is_replaced() -> None:
    """The two fingerprints have eight characters, and the period is its shortest name."""
    pattern = "s3://aws_default@lake/" + "/".join(f"{name}={{{name}}}" for name in FIELDS) + ".csv"
    assert resolved(pattern, manager="91d5b20c").partition("lake/")[2].split("/") == [
        *("family=ba", "team_id=456", "org_tree_name=Engineering", "date_start=2024-01-01"),
        *("date_end=2024-01-31", "period=2024-01", "export_id=exp_1", "account=acc", "project=proj"),
        *("org=default", "manager=91d5b20c", "scope=5d41402a", "fingerprint=3f9a1c2e.csv"),
    ]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("/x/{famly}.csv", "unknown field {famly}: did you mean 'family'"),
        ("/x/{ds}/", "unknown field {ds}: it is not one of family, team_id, "),
        ("/x/{}/", "unknown field {}"),
        ("/x/{0}/", "unknown field {0}"),
        ("/x/{date_start:%Y}/", "unknown field {date_start:%Y}"),
        ("/x/{family!r}/", "unknown field {family!r}"),
        ("/x/{family.__class__}/", "unknown field {family.__class__}"),
        ("/x/{family/", "brace without its counterpart"),
        ("/x/family}/", "brace without its counterpart"),
        ("/x/{{family}}/", "brace without its counterpart"),
        ("s3://{account}/x/", "a field before its first folder"),
        ("s3://{account}@lake/x/", "a field before its first folder"),
        ("{family}://lake/x/", "a field before its first folder"),
        ("s3://lake/sei", "neither a folder nor a file: end it with a slash (s3://lake/sei/), or with the file's"),
        ("/x.d/{family}/{period}", "neither a folder nor a file"),
        ("/x/..", "neither a folder nor a file"),
        ("file://data/x/", "write file:///data/x/"),
        ("FILE:/data/x.csv", "write file:///data/x.csv"),
        ("local://data/x.csv", "write file:///data/x.csv"),
        ("~/x/", "would be below the worker's working directory"),
    ],
)
def test_a_mistake_is_refused_when_the_arguments_are_parsed(url: str, words: str) -> None:
    """With a suggestion or the list of fields."""
    with pytest.raises(SEIArgumentError) as caught:
        Destination.from_arguments(url)
    assert words in str(caught.value)
    assert caught.value.field == "destination"


@pytest.mark.parametrize("value", [None, ""])
@pytest.mark.parametrize("layout", ["flat", "hive"])
def test_a_field_without_a_value_is_an_error(value: str | None, layout: str) -> None:
    """An export of an organisation tree has no team."""
    with pytest.raises(SEIArgumentError, match=r"needs \{team_id\}, but this request has none") as caught:
        resolved("/x/{team_id}/", layout=layout, team_id=value)
    assert caught.value.field == "destination"


def test_the_hive_layout_takes_a_folder_only() -> None:
    """Folders and name are the layout's."""
    with pytest.raises(SEIArgumentError, match="end it with a slash") as caught:
        Destination.from_arguments("/x/a.csv", layout="hive")
    assert caught.value.field == "layout"


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("/x/{org}/", "/x/default/ba_Engineering_team-456_2024-01-01_2024-01-31_3f9a1c2e.csv"),
        ("{family}.csv", "ba.csv"),
        ("memory://lake/{family}/{period}.csv", "memory://lake/ba/2024-01.csv"),
        ("/x/plain name, 50%.csv", "/x/plain name, 50%.csv"),
        ("/x/../{family}.csv", "/x/../ba.csv"),  # the user's own text may add folders
    ],
)
def test_folders_may_have_fields_too(url: str, name: str) -> None:
    """The default name is appended to a folder."""
    assert resolved(url) == name


@pytest.mark.parametrize(
    ("url", "value", "name"),
    [
        ("/x/{team_id}/a.csv", "..", "/x/%2E%2E/a.csv"),
        ("/x/{team_id}/a.csv", ".", "/x/%2E/a.csv"),
        ("/x/.{team_id}/a.csv", ".", "/x/%2E%2E/a.csv"),
        ("/x/{team_id}.csv", "../../etc/passwd", "/x/..%2F..%2Fetc%2Fpasswd.csv"),
        ("/x/{team_id}.csv", "{family}", "/x/%7Bfamily}.csv"),
        ("/x/{team_id}.csv", "s3://b/\x00\\", "/x/s3%3A%2F%2Fb%2F%00%5C.csv"),
    ],
)
def test_a_value_adds_no_folder(url: str, value: str, name: str) -> None:
    """Only the user's own text does."""
    assert resolved(url, team_id=value) == name


@ANYTHING
@given(st.text(min_size=1) | texts.filter(bool), st.text(min_size=1))
def test_no_value_changes_the_number_of_folders(team: str, tree: str) -> None:
    """Whatever it is; an organisation tree may be called '../x'."""
    name = resolved("/x/{team_id}/{org_tree_name}/a{team_id}.csv", team_id=team, org_tree_name=tree)
    parts = PurePosixPath(name).parts
    assert (len(parts), name.count("/"), ".." in parts) == (5, 4, False)
    assert unquote(parts[2]) == team
    default = resolved("/x/", org_tree_name=tree, team_id=team).removeprefix("/x/")
    assert PurePosixPath(default).parts == PureWindowsPath(default).parts == (default,)
    assert default.isprintable()
    assert len(default.encode()) <= 150


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "ba_Engineering_team-456_2024-01-01_2024-01-31_3f9a1c2e.csv"),
        ({"team_id": None}, "ba_Engineering_2024-01-01_2024-01-31_3f9a1c2e.csv"),
        ({"org_tree_name": None}, "ba_team-456_2024-01-01_2024-01-31_3f9a1c2e.csv"),
        ({"org_tree_name": None, "team_id": None}, "ba_2024-01-01_2024-01-31_3f9a1c2e.csv"),
        ({"fingerprint": None}, "ba_exp_1.csv"),
        *(
            ({"org_tree_name": tree}, f"ba_{word}_team-456_2024-01-01_2024-01-31_3f9a1c2e.csv")
            for tree, word in {
                "Engineering / East": "Engineering-East",
                "XaX": "XaX",
                " -.a.- ": "a",
                "R&D / Labs": "R-D-Labs",
                "a" * 50: "a" * 40,
                "a" + "ü" * 30: "a" + "ü" * 19,
                "a\ud800b": "a-b",
                "???": "unnamed",
            }.items()
        ),
    ],
)
def test_the_default_name_is_made_of_the_request(changes: dict[str, str | None], name: str) -> None:
    """The same request has the same name, tomorrow too; without a request, it has the export's id."""
    assert resolved("/x/", **changes) == f"/x/{name}"


@pytest.mark.parametrize(
    ("changes", "scope"),
    [
        ({}, "team=456"),
        ({"team_id": None}, "org_tree=Engineering"),
        ({"team_id": None, "org_tree_name": "R&D / Ost"}, "org_tree=R&D %2F Ost"),
        ({"team_id": "../a=b\\c"}, "team=..%2Fa%3Db%5Cc"),
        ({"team_id": ".."}, "team=.."),
        ({"team_id": None, "org_tree_name": None}, "team=__HIVE_DEFAULT_PARTITION__"),
        ({"fingerprint": None}, "team=456"),
    ],
)
def test_the_hive_layout_escapes_values_as_hive_and_spark_do(changes: dict[str, str | None], scope: str) -> None:
    """So they read the very values back; a scope of another kind has Hive's null partition."""
    found = resolved("/x/{org}/", layout="hive", **changes)
    assert found == f"/x/default/family=ba/period=2024-01/{scope}/ba_5d41402a.csv"
