"""Finds the word that somebody meant to type, for "did you mean"."""

from collections.abc import Iterable
from difflib import get_close_matches

CLOSE = 0.7
"""How similar two words must be (difflib): in a word of four letters one may be wrong, missing or exchanged."""


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the known word most similar to `word`, in upper or lower case. Empty if none is, or if `word` is known.

    A word of the same letters in another order comes first.
    """
    folded = {each.casefold(): each for each in known}
    if word.casefold() in folded or len(word) > 100:
        return ""
    exchanged = next((one for one in folded if sorted(one) == sorted(word.casefold())), "")
    found = [exchanged] if exchanged else get_close_matches(word.casefold(), folded, 1, CLOSE)
    return folded[found[0]] if found else ""


def meant(word: str, known: Iterable[str]) -> str:
    """Return the question `; did you mean X?`, or empty if no word is near."""
    found = nearest(word, known)
    return f"; did you mean {found}?" if found else ""
