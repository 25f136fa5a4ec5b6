"""Conditions: what a picture is asked to show, as words for people and as numbers for networks.

class: one of several names, its number, int64 ().
attributes: each name has a number, 1 where it is there and 0 where not, or a measure; float32 (A,).
caption: words as numbers from a vocabulary, int64 (L,); 0 fills up, 1 is a word that the vocabulary lacks.

    >>> conditions = Conditions("caption", ["hair", "aqua", "red", "eyes"], length=6)
    >>> conditions.encode("Aqua hair, red eyes!").tolist()
    [3, 2, 4, 5, 0, 0]
"""

import difflib
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from quagga import BadInput

Kind = Literal["class", "attributes", "caption"]

PADDING, UNKNOWN = 0, 1  # of captions; the words begin at 2
UNKNOWN_SIGN = "?"
NONE = "none"  # how one says that no attribute is there
LONGEST = 512  # words of a caption that a network can be asked to read
MOST = 8192  # classes, attributes or words
VOCABULARY = 4096  # words that are kept of a set's captions

# Scripts that put no space between words. To find their words takes a dictionary of each language, so every character
# is a token of its own, as in the multilingual models since BERT: Thai, Lao, Myanmar, Khmer, kana, Han.
UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff"
    "\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)
JOINERS = dict.fromkeys(map(ord, "\u00ad\u200b\u200c\u200d\u2060\ufeff"))  # invisible, within words


@dataclass(frozen=True)
class Conditions:
    """The conditions of one set of pictures.

    Args:
        kind: "class", "attributes" or "caption".
        names: The classes, the attributes or the vocabulary, in order.
        length: Words of a caption that count, L; what is longer is cut.

    Raises:
        BadInput: no names, one twice, or one that could not be typed.
    """

    kind: Kind
    names: Sequence[str]
    length: int = 16

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(map(name_of, self.names)))  # frozen: what has been checked stays so
        if self.kind not in ("class", "attributes", "caption"):
            raise BadInput(f"condition {self.kind!r}: it is class, attributes or caption")
        if len(self.names) > MOST:
            raise BadInput(f"{len(self.names):,} {PLURAL[self.kind]} are too many: keep {MOST:,} or fewer")
        if not self.names:
            raise BadInput(f"there are no names for a condition of kind {self.kind}: name one or more")
        if not 1 <= self.length <= LONGEST:
            raise BadInput(f"caption_length {self.length}: it must be from 1 to {LONGEST} words")
        twice = next((name for name, count in Counter(self.names).items() if count > 1), None)
        if twice is not None:
            raise BadInput(f"the name {twice!r} stands twice among the {PLURAL[self.kind]}: leave one out")
        for name in self.names:
            if not name:
                raise BadInput(f"an empty name among the {PLURAL[self.kind]}: leave it out")
            if self.kind == "attributes" and (re.search("[,;=]", name) or name == NONE):
                raise BadInput(f"attribute {name!r} could not be typed: rename it, without , ; = and not {NONE!r}")
            if self.kind == "caption" and tokens(name) != [name]:
                raise BadInput(f"{name!r} is no word of a vocabulary: captions are read as {tokens(name)}")

    @property
    def count(self) -> int:
        """How many numbers a network must know: of classes, of attributes, of words with padding and unknown."""
        return len(self.names) + (2 if self.kind == "caption" else 0)

    def encode(self, text: str) -> Tensor:
        """One condition: "zebra" -> () int64; "smiling, age=0.3" -> (A,) float32; a caption -> (L,) int64.

        Raises:
            BadInput: an unknown class or attribute, a value that is no number, an empty caption.
        """
        if self.kind == "class":
            return torch.tensor(self.number(text))
        return self._attributes(text) if self.kind == "attributes" else self._caption(text)

    def describe(self, c: Tensor) -> str:
        """One encoded condition in words, which `encode` reads again; an unknown word is a "?"."""
        if self.kind == "class":
            return self.names[int(c)]
        if self.kind == "caption":
            ids = [int(number) for number in c if number != PADDING]
            return " ".join(UNKNOWN_SIGN if number == UNKNOWN else self.names[number - 2] for number in ids)
        there = [(name, value) for name, value in zip(self.names, c.float().cpu().numpy(), strict=True) if value != 0]
        return ", ".join(name if value == 1 else f"{name}={value!s}" for name, value in there) or NONE

    def unknown(self, text: str) -> list[str]:
        """The words of a caption that the vocabulary lacks, each once, in order; of other kinds none."""
        if self.kind != "caption":
            return []
        return [word for word in dict.fromkeys(tokens(text)) if word not in self._numbers]

    def number(self, name: str) -> int:
        """The place of a class or an attribute among the names. Case counts only where it tells two names apart.

        Raises:
            BadInput: there is none of this name.
        """
        wanted = name_of(name)
        if wanted in self._numbers:
            return self._numbers[wanted]
        alike = [number for known, number in self._numbers.items() if known.casefold() == wanted.casefold()]
        if len(alike) == 1:
            return alike[0]
        one = "class" if self.kind == "class" else "attribute"
        raise BadInput(f"unknown {one} {name!r}{did_you_mean(wanted, self.names)}")

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.names)}

    def _attributes(self, text: str) -> Tensor:
        values = torch.zeros(len(self.names))
        parts = [part.strip() for part in re.split("[,;]", text)]
        if not any(parts):
            raise BadInput(f"attributes {text!r} name nothing: name some, or write {NONE}")
        for part in parts if parts != [NONE] else []:
            if not part:
                continue
            name, _, value = part.partition("=")
            try:
                number = np.float32(value) if value.strip() else np.float32("nan" if "=" in part else 1)
            except ValueError:
                number = np.float32("nan")
            if not math.isfinite(number):
                raise BadInput(f"attribute {part!r}: expected NAME, or NAME=NUMBER")
            values[self.number(name)] = float(number)
        return values

    def _caption(self, text: str) -> Tensor:
        words = tokens(text)
        if not words:
            raise BadInput(f"the caption {text!r} is empty: write at least one word")
        ids = [self._numbers[word] + 2 if word in self._numbers else UNKNOWN for word in words[: self.length]]
        return torch.tensor(ids + [PADDING] * (self.length - len(ids)))


PLURAL = {"class": "classes", "attributes": "attributes", "caption": "words"}


def tokens(text: str) -> list[str]:
    """The words of a text in any script, in one spelling: NFKC, casefolded, without punctuation.

    Letters, digits and underscores with their combining marks make a word (re's `\\w` breaks at the marks of, say,
    Hindi). In scripts without spaces every character is one. The words of the joined words are the same words.
    """
    if text.isascii():  # the same, 20 times as fast
        return re.findall(r"\w+", text.lower())
    for _ in range(3):  # casefolding undoes some of the composing and the other way round; twice is enough (tested)
        text = unicodedata.normalize("NFKC", text).translate(JOINERS).casefold()
    words: list[str] = []
    place: Literal["gap", "word", "character"] = "gap"
    for character in unicodedata.normalize("NFC", text):
        kind = unicodedata.category(character)[0]
        if kind == "M" and place != "gap":
            words[-1] += character
        elif (kind in "LN" or character == "_") and UNSPACED.match(character):
            words.append(character)
            place = "character"
        elif kind in "LN" or character == "_":
            if place == "word":
                words[-1] += character
            else:
                words.append(character)
            place = "word"
        else:
            place = "gap"
    return words


def vocabulary(texts: Iterable[str], size: int = VOCABULARY, least: int = 1) -> list[str]:
    """The words of texts, the most frequent first, of equally frequent ones by the alphabet.

    Args:
        texts: The captions.
        size: How many words are kept at most.
        least: How often a word must stand in the texts; 2 drops those seen once.
    """
    counts = Counter(word for text in texts for word in tokens(text))
    kept = sorted((word for word, count in counts.items() if count >= least), key=lambda word: (-counts[word], word))
    return kept[:size]


def name_of(text: str) -> str:
    """A class or attribute as it is kept: composed (folders of macOS are not), in one line, without outer spaces."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """ ": did you mean ...?" where a known word is near, else what there is."""
    folded = {name.casefold(): name for name in known}
    close = difflib.get_close_matches(word.casefold(), folded, n=1)
    if close:
        return f": did you mean {folded[close[0]]}?"
    some = list(folded.values())
    more = f" and {len(some) - 12} more" if len(some) > 12 else ""
    return f": there are {', '.join(some[:12])}{more}"
