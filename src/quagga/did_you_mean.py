"""What a mistyped word was meant to be. Standard library only, see `quagga.cli.main`."""

import difflib
from collections.abc import Iterable

from quagga.errors import some


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Returns the known word that is most similar, ignoring case and dashes; None if none is close."""
    by_normalized = {name.casefold().replace("-", "_"): name for name in known}
    close = difflib.get_close_matches(word.casefold().replace("-", "_"), by_normalized, n=1)
    return by_normalized[close[0]] if close else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Returns the end of an error about an unknown word: ": did you mean ...?" if a known word is close, else the list
    of known words."""
    names = list(known)
    close = nearest(word, names)
    return f": did you mean {close}?" if close else f": there are {some(names, 12)}"
