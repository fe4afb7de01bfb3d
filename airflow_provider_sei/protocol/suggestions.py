"""Guesses what a misspelt word was meant to be."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["did_you_mean"]


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """Return ``": did you mean 'x'?"`` for the known word closest to ``word``, or an empty string if none is close."""
    if not isinstance(word, str):
        return ""
    import difflib  # only mistakes pay for it, not every DAG file that is parsed

    by_folded = {candidate.casefold(): candidate for candidate in known}
    close = difflib.get_close_matches(word.strip().casefold(), by_folded)
    return f": did you mean {by_folded[close[0]]!r}?" if close else ""
