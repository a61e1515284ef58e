"""Finds the word that somebody meant to type, among those there are, for "did you mean"."""

from collections.abc import Iterable
from difflib import get_close_matches

CLOSE = 0.7
"""How alike two words must be (difflib): a letter wrong, missing or exchanged in a word of four."""


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the known word most like `word`, letter case aside; empty when none is, or `word` is known itself.

    One of the same letters in another order is the likeliest.
    """
    folded = {each.casefold(): each for each in known}
    if word.casefold() in folded or len(word) > 100:
        return ""
    exchanged = next((one for one in folded if sorted(one) == sorted(word.casefold())), "")
    found = [exchanged] if exchanged else get_close_matches(word.casefold(), folded, 1, CLOSE)
    return folded[found[0]] if found else ""


def meant(word: str, known: Iterable[str]) -> str:
    """Return the question `; did you mean X?`, empty when no word is near."""
    found = nearest(word, known)
    return f"; did you mean {found}?" if found else ""
