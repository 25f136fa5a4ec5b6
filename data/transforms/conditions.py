"""Conditions: what a picture shall show, as text for people and as numbers for networks.

class: the number of one of several names, int64 ().
attributes: a number for each name, 1 for present and 0 for absent, or a measure; float32 (A,).
caption: the numbers of its words in a vocabulary, int64 (L,); 0 is padding, 1 a word that is not in the vocabulary.

    >>> conditions = Conditions("caption", ["hair", "aqua", "red", "eyes"], length=6)
    >>> conditions.encode("Aqua hair, red eyes!").tolist()
    [3, 2, 4, 5, 0, 0]
"""

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

from quagga.did_you_mean import did_you_mean
from quagga.errors import BadInput
from quagga.fields import ConditionKind, Field, condition

PADDING, UNKNOWN = 0, 1  # numbers in captions; the vocabulary's words begin at 2
UNKNOWN_SIGN = "?"
NONE = "none"  # the text for attributes of which none is present
MAX_CAPTION_LENGTH = 512  # words
MAX_NAMES = 8192  # classes, attributes or words
VOCABULARY_SIZE = 4096  # words that are kept of a set's captions by default

# Scripts that put no space between words. Splitting them into words takes a dictionary of each language, so every
# character is a token, as in the multilingual models since BERT: Thai, Lao, Myanmar, Khmer, kana, Han.
UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff"
    "\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)
JOINERS = dict.fromkeys(map(ord, "\u00ad\u200b\u200c\u200d\u2060\ufeff"))  # invisible characters within words


@dataclass(frozen=True)
class Conditions:
    """The conditions of one set of pictures.

    Args:
        kind: "class", "attributes" or "caption".
        names: the classes, the attributes or the vocabulary, in order.
        length: number of words to which captions are padded or cut, L; not used by other kinds.

    Raises:
        BadInput: there are no names, too many, one twice, or one that could not be typed.
    """

    kind: ConditionKind
    names: Sequence[str]
    length: int = 16

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(map(name_of, self.names)))  # frozen, so that the checks below hold on
        if self.kind not in ("class", "attributes", "caption"):
            raise BadInput(f"condition {self.kind!r}: it is class, attributes or caption")
        if len(self.names) > MAX_NAMES:
            raise BadInput(f"{len(self.names):,} {PLURAL[self.kind]} are too many: keep {MAX_NAMES:,} or fewer")
        if not self.names:
            raise BadInput(f"there are no names for a condition of kind {self.kind}: name one or more")
        if not 1 <= self.length <= MAX_CAPTION_LENGTH:
            raise BadInput(f"caption_length {self.length}: it must be from 1 to {MAX_CAPTION_LENGTH} words")
        repeated = next((name for name, count in Counter(self.names).items() if count > 1), None)
        if repeated is not None:
            raise BadInput(f"the name {repeated!r} stands twice among the {PLURAL[self.kind]}: leave one out")
        for name in self.names:
            if not name:
                raise BadInput(f"an empty name among the {PLURAL[self.kind]}: leave it out")
            if self.kind == "attributes" and (re.search("[,;=]", name) or name == NONE):
                raise BadInput(f"attribute {name!r} could not be typed: rename it, without , ; = and not {NONE!r}")
            if self.kind == "caption" and tokens(name) != [name]:
                raise BadInput(f"{name!r} is no word of a vocabulary: captions are read as {tokens(name)}")

    @classmethod
    def of(cls, field: Field) -> "Conditions":
        """Returns the conditions that a field of an export takes. Raises BadInput as the class does."""
        assert field.condition is not None and field.length is not None
        return cls(field.condition, field.names, field.length)

    def field(self, name: str) -> Field:
        """Returns the field of an export that takes such conditions, under this name."""
        return condition(name, self.kind, self.names, self.length)

    @property
    def count(self) -> int:
        """The number of classes, of attributes, or of words with padding and unknown: the size of a network's input."""
        return len(self.names) + (2 if self.kind == "caption" else 0)

    def encode(self, text: str) -> Tensor:
        """Encodes a condition: "zebra" -> int64 (); "smiling, age=0.3" -> float32 (A,); a caption -> int64 (L,).

        Raises:
            BadInput: an unknown class or attribute, a value that is no number, an empty caption.
        """
        if self.kind == "class":
            return torch.tensor(self.number(text))
        return self._attributes(text) if self.kind == "attributes" else self._caption(text)

    def describe(self, c: Tensor) -> str:
        """Returns an encoded condition as text, which `encode` reads again; an unknown word is a "?"."""
        if self.kind == "class":
            return self.names[int(c)]
        if self.kind == "caption":
            ids = [int(number) for number in c if number != PADDING]
            return " ".join(UNKNOWN_SIGN if number == UNKNOWN else self.names[number - 2] for number in ids)
        values = zip(self.names, c.float().cpu().numpy(), strict=True)
        return ", ".join(name if value == 1 else f"{name}={value!s}" for name, value in values if value != 0) or NONE

    def unknown(self, text: str) -> list[str]:
        """Returns the words of a caption that are not in the vocabulary, each once, in order; [] for other kinds."""
        if self.kind != "caption":
            return []
        return [word for word in dict.fromkeys(tokens(text)) if word not in self._numbers]

    def number(self, name: str) -> int:
        """Returns the number of a class or an attribute among the names. Case is ignored, unless two names differ in
        nothing else.

        Raises:
            BadInput: there is no such name.
        """
        wanted = name_of(name)
        if wanted in self._numbers:
            return self._numbers[wanted]
        matches = [number for known, number in self._numbers.items() if known.casefold() == wanted.casefold()]
        if len(matches) == 1:
            return matches[0]
        what = "class" if self.kind == "class" else "attribute"
        raise BadInput(f"unknown {what} {name!r}{did_you_mean(wanted, self.names)}")

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
    """Splits a text in any script into words, normalised to NFKC, casefolded, without punctuation.

    A word is made of letters, digits and underscores with their combining marks (re's `\\w` splits at the marks of, for
    example, Hindi). In scripts without spaces every character is a word. tokens(" ".join(tokens(text))) is
    tokens(text).
    """
    if text.isascii():  # the same result, 20 times as fast
        return re.findall(r"\w+", text.lower())
    for _ in range(3):  # casefolding and composing undo some of each other's work; two rounds are enough (tested)
        text = unicodedata.normalize("NFKC", text).translate(JOINERS).casefold()
    words: list[str] = []
    previous: Literal["gap", "word", "character"] = "gap"  # what the last character belonged to
    for character in unicodedata.normalize("NFC", text):
        category = unicodedata.category(character)[0]
        if category == "M" and previous != "gap":
            words[-1] += character
        elif (category in "LN" or character == "_") and UNSPACED.match(character):
            words.append(character)
            previous = "character"
        elif category in "LN" or character == "_":
            if previous == "word":
                words[-1] += character
            else:
                words.append(character)
            previous = "word"
        else:
            previous = "gap"
    return words


def vocabulary(texts: Iterable[str], size: int = VOCABULARY_SIZE, least: int = 1) -> list[str]:
    """Returns the words of texts, the most frequent first; equally frequent ones are in alphabetical order.

    Args:
        texts: the captions.
        size: number of words that are kept at most.
        least: how often a word must occur in the texts to be kept.
    """
    counts = Counter(word for text in texts for word in tokens(text))
    words = sorted((word for word, count in counts.items() if count >= least), key=lambda word: (-counts[word], word))
    return words[:size]


def name_of(text: str) -> str:
    """Normalises the name of a class or an attribute: composed (NFC, which folders of macOS are not), in one line,
    without outer spaces."""
    return " ".join(unicodedata.normalize("NFC", text).split())
