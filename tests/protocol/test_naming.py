"""What a delivered file is called."""

from __future__ import annotations

from pathlib import PurePosixPath, PureWindowsPath
from urllib.parse import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_sei.protocol.naming import (
    content_disposition_filename,
    hive_folder,
    hive_name,
    request_name,
    safe_filename,
    with_matching_suffix,
)
from tests.protocol.strategies import ANYTHING, json_values, texts

names = st.one_of(
    texts,
    st.text(st.characters(), max_size=300),
    st.builds(
        "{}{}{}".format,
        st.sampled_from(["../", "..\\", "/", "C:\\", "~/", "\x00", "\r\n", "{{ ", "%2e%2e/", "con.", ".", "\u202e"]),
        texts,
        st.sampled_from(["", ".csv", ".csv.gz", ".GZ", "/", "/..", " ", "."]),
    ),
)


class TestSafeFilename:
    """A name from the server."""

    @pytest.mark.parametrize(
        ("name", "safe"),
        [
            ("developer-insights-2024.csv", "developer-insights-2024.csv"),
            ("Übersicht Q4 (neu).csv.gz", "Übersicht Q4 (neu).csv.gz"),
            ("../../etc/passwd", "passwd"),
            ("..\\..\\boot.ini", "boot.ini"),
            ("/abs/olute.csv", "olute.csv"),
            ("C:\\reports\\a.csv", "a.csv"),
            ("dir/", "dir"),
            ("..", None),
            ("../..", None),
            ("", None),
            ("   ", None),
            ("___", None),
            (".hidden.csv", "hidden.csv"),
            ("a\x00b\r\nc.csv", "a_b_c.csv"),
            ("{{ var.value.key }}.csv", "_ var.value.key _.csv"),
            ('a*?<>|:"b.csv', "a_b.csv"),
            ("\u202egnp.csv", "_gnp.csv"),
            ("con.csv", None),
            ("NUL", None),
            ("com1.csv.gz", None),
            ("contributors.csv", "contributors.csv"),
            ("\ud800.csv", "_.csv"),
            (None, None),
            (5, None),
            (["a.csv"], None),
        ],
    )
    def test_a_name_from_the_server_is_data(self, name: object, safe: str | None) -> None:
        """Never a path, a device, a template or a control sequence."""
        assert safe_filename(name) == safe

    def test_a_long_name_keeps_its_ending(self) -> None:
        """Cut by bytes, between characters."""
        assert safe_filename("ü" * 3000 + ".csv.gz") == "ü" * 71 + ".csv.gz"

    def test_a_name_of_a_megabyte_is_cut_at_once(self) -> None:
        """Its length is the server's to choose."""
        assert safe_filename("a" * 1_000_000 + ".csv") == "a" * 146 + ".csv"

    @ANYTHING
    @given(names | json_values)
    @example("a/\ud800b")
    @example("." * 400)
    def test_any_name_is_one_harmless_segment_or_nothing(self, name: object) -> None:
        """On every file system, and in every object store."""
        safe = safe_filename(name)
        if safe is None:
            return
        assert PurePosixPath(safe).parts == (safe,)
        assert PureWindowsPath(safe).parts == (safe,)
        assert safe not in (".", "..")
        assert not safe.startswith((".", "~", " "))
        assert safe.isprintable()
        assert not set(safe) & set('<>:"|?*{}%#[]$`;&~!/\\')
        assert len(safe.encode()) <= 150


class TestContentDisposition:
    """The header that names a file."""

    @pytest.mark.parametrize(
        ("header", "name"),
        [
            ('attachment; filename="report.csv"', "report.csv"),
            ("attachment; filename=report.csv", "report.csv"),
            ("attachment; filename*=UTF-8''%C3%9Cbersicht%20Q4.csv", "Übersicht Q4.csv"),
            ("attachment; filename*=utf-8'de'a.csv; filename=\"b.csv\"", "a.csv"),
            ('attachment; filename="../../x"', "../../x"),
            ("attachment", None),
            ("", None),
            (None, None),
        ],
    )
    def test_both_forms_of_the_header_are_read(self, header: str | None, name: str | None) -> None:
        """The name is as sent: making it safe is another function's work."""
        assert content_disposition_filename(header) == name

    @ANYTHING
    @given(
        texts
        | st.builds(
            "attachment; filename{}={}{}".format,
            st.sampled_from(["", "*", "*0", "*0*", "*1*", "*x*", "**"]),
            st.sampled_from(["", '"', "utf-8''", "x-none'a'", "''", "utf-8'"]),
            texts | st.sampled_from(["%ff%zz", "%", "a;b=c", "=?utf-8?q?=FF?=", "=?x?b?####?="]),
        )
    )
    def test_any_header_is_a_safe_name_or_nothing(self, header: str) -> None:
        """No header raises anything."""
        name = content_disposition_filename(header)
        assert name is None or isinstance(name, str)
        safe = safe_filename(name)
        assert safe is None or "/" not in safe


class TestRequestName:
    """A name that stands for a request."""

    def test_it_tells_the_request(self) -> None:
        """The same request has the same name, tomorrow too."""
        name = request_name(
            "productivity",
            org_tree_name="Engineering / East",
            team_id="456",
            date_start="2024-01-01",
            date_end="2024-12-31",
            fingerprint="3f9a1c2e" * 8,
        )
        assert name == "productivity_Engineering-East_team-456_2024-01-01_2024-12-31_3f9a1c2e.csv"

    def test_a_scope_of_another_kind_is_told_by_the_fingerprint_alone(self) -> None:
        """Developers have no name of their own there."""
        name = request_name("ba", date_start="2024-01-01", date_end="2024-01-31", fingerprint="0" * 64)
        assert name == "ba_2024-01-01_2024-01-31_00000000.csv"

    @ANYTHING
    @given(texts, texts)
    def test_it_is_safe_whatever_the_scope_is_called(self, tree: str, team: str) -> None:
        """An organisation tree may be called '../x'."""
        name = request_name(
            "sprint",
            org_tree_name=tree,
            team_id=team,
            date_start="2024-01-01",
            date_end="2024-01-31",
            fingerprint="f" * 64,
        )
        assert PurePosixPath(name).parts == PureWindowsPath(name).parts == (name,)
        assert name.isprintable()
        assert len(name.encode()) <= 150


class TestHivePlace:
    """The folder of a partition, and the name of the one file in it."""

    @pytest.mark.parametrize(
        ("scope", "folder"),
        [
            ({"team_id": "456"}, "family=ba/period=2024-01/team=456/"),
            ({"team_id": "456", "org_tree_name": "Engineering"}, "family=ba/period=2024-01/team=456/"),
            ({"org_tree_name": "R&D / Ost"}, "family=ba/period=2024-01/org_tree=R&D %2F Ost/"),
            ({"team_id": "../a=b\\c"}, "family=ba/period=2024-01/team=..%2Fa%3Db%5Cc/"),
            ({}, "family=ba/period=2024-01/team=__HIVE_DEFAULT_PARTITION__/"),
        ],
    )
    def test_the_folder_tells_family_period_and_team(self, scope: dict[str, str], folder: str) -> None:
        """Escaped as Hive and Spark do it; a scope of another kind has Hive's word for nothing."""
        assert hive_folder("ba", period="2024-01", **scope) == folder

    @given(texts, texts)
    def test_it_is_three_folders_whatever_the_scope_is_called(self, tree: str, team: str) -> None:
        """No name leads out of them, and the very name can be read back."""
        folder = hive_folder("ba", period="2024-01", org_tree_name=tree, team_id=team)
        *_, last = PurePosixPath(folder).parts
        assert (folder.count("/"), len(PurePosixPath(folder).parts)) == (3, 3)
        key, _, value = last.partition("=")
        assert key == ("org_tree" if tree and not team else "team")
        assert unquote(value) == (team or tree or "__HIVE_DEFAULT_PARTITION__")

    def test_the_name_is_the_familys(self) -> None:
        """Whatever else is asked for: a query would count a second file of the partition again."""
        assert hive_name("productivity") == "productivity.csv"


class TestSuffix:
    """The ending of a name."""

    @pytest.mark.parametrize(
        ("name", "gzipped", "matching"),
        [
            ("a.csv", True, "a.csv.gz"),
            ("a.csv", False, "a.csv"),
            ("a.csv.gz", True, "a.csv.gz"),
            ("a.csv.GZ", True, "a.csv.GZ"),
            ("a.csv.gz", False, "a.csv"),
            ("a.CSV.GZ", False, "a.CSV"),
            ("a", True, "a.gz"),
        ],
    )
    def test_the_ending_tells_the_truth(self, name: str, matching: str, *, gzipped: bool) -> None:
        """A gzip file is called one, and nothing else is."""
        assert with_matching_suffix(name, gzipped=gzipped) == matching


class TestLetters:
    """Only what is listed is taken away: an X is as good a letter as any."""

    @pytest.mark.parametrize(
        ("name", "safe"), [("aX", "aX"), ("dirX/", "dirX"), ("XaX.csv", "XaX.csv"), ("X", "X"), ("X_X", "X_X")]
    )
    def test_a_servers_name_keeps_them(self, name: str, safe: str) -> None:
        """At its ends too."""
        assert safe_filename(name) == safe

    @pytest.mark.parametrize(
        ("tree", "word"),
        [
            ("XaX", "XaX"),
            (" -.a.- ", "a"),
            ("R&D / Labs", "R-D-Labs"),
            ("a" * 50, "a" * 40),
            ("a" + "ü" * 30, "a" + "ü" * 19),
            ("a\ud800b", "a-b"),
            ("???", "unnamed"),
        ],
    )
    def test_a_requests_name_has_words_of_forty_bytes(self, tree: str, word: str) -> None:
        """Cut between characters, without marks at its ends."""
        name = request_name(
            "ba", date_start="2024-01-01", date_end="2024-01-31", fingerprint="f" * 64, org_tree_name=tree
        )
        assert name == f"ba_{word}_2024-01-01_2024-01-31_ffffffff.csv"

    def test_a_header_of_several_lines_is_one(self) -> None:
        """As HTTP once allowed."""
        assert content_disposition_filename('attachment;\r\n filename="a\r\nb.csv"') == "a b.csv"
