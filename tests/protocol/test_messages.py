"""Requests and answers as values."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from airflow_provider_sei.protocol.messages import _SHORTEST_SECRET, HttpResponse, encode_json


class TestRedacted:
    """An answer without the key."""

    def test_a_secret_is_starred_wherever_it_stands(self) -> None:
        """A server that echoes the key cannot bring it into a message."""
        answer = HttpResponse(401, {"location": "/?k=0123456789"}, b"key 0123456789 is bad: 0123456789")
        redacted = answer.redacted("0123456789")
        assert redacted == HttpResponse(401, {"location": "/?k=***"}, b"key *** is bad: ***")

    @pytest.mark.parametrize(
        "spell",
        [
            lambda text: "".join(f"\\u{ord(char):04x}" for char in text).encode(),
            lambda text: text.replace("k", "\\u006B").encode(),
            lambda text: text.replace("/", "\\/").encode(),
        ],
    )
    def test_json_has_other_ways_to_write_it(self, spell: Callable[[str], bytes]) -> None:
        """What a parser makes of the answer is without the key, too."""
        answer = HttpResponse(200, {}, b'{"createdAt": "my key: ' + spell("key/0123456789") + b'"}')
        assert json.loads(answer.redacted("key/0123456789").body) == {"createdAt": "my key: ***"}

    def test_a_wide_encoding_hides_nothing(self) -> None:
        """JSON may come as UTF-16."""
        answer = HttpResponse(200, {}, '{"createdAt": "0123456789", "a": "\ud800"}'.encode("utf-16", "surrogatepass"))
        assert json.loads(answer.redacted("0123456789").body)["createdAt"] == "***"

    @pytest.mark.parametrize("body", [b'{"a": "\\u0041"}', b"\\ no JSON \0", b"[" * 100_000 + b"\\"])
    def test_an_answer_without_it_stays_as_it_is(self, body: bytes) -> None:
        """Byte by byte."""
        assert HttpResponse(200, {}, body).redacted("0123456789").body == body

    def test_a_secret_too_short_to_be_one_is_left_alone(self) -> None:
        """Starring single letters would tear the answer up."""
        answer = HttpResponse(200, {}, b'{"exportId": "exp_1"}')
        assert answer.redacted("e") is answer


class TestEncodeJson:
    """A body as it travels."""

    def test_keys_keep_their_order_and_text_its_letters(self) -> None:
        """Both transports send the same bytes."""
        assert encode_json({"b": "Zürich", "a": [1, None, True]}) == '{"b": "Zürich", "a": [1, null, true]}'.encode()

    def test_what_json_does_not_know_is_refused(self) -> None:
        """NaN is no JSON, though Python's encoder would write it."""
        with pytest.raises(ValueError, match=r"not JSON compliant"):
            encode_json({"a": float("nan")})

    def test_it_is_what_json_reads_again(self) -> None:
        """The round trip changes nothing."""
        body = {"scope": {"orgTreeName": 'Ünï "quoted" \\ \u2028'}, "metrics": []}
        assert json.loads(encode_json(body)) == body


def test_the_shortest_secret_is_starred() -> None:
    """Of exactly that length."""
    secret = "k" * _SHORTEST_SECRET
    assert HttpResponse(200, {}, secret.encode()).redacted(secret).body != secret.encode()
