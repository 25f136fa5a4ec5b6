"""Words become numbers and words again, in any script, and what cannot be meant is said."""

import pickle
import unicodedata

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from quagga.data.transforms.conditions import MAX_CAPTION_LENGTH, Conditions, name_of, tokens, vocabulary
from quagga.errors import BadInput

TEXT = st.text(max_size=40)
NAMES = st.lists(
    st.text(min_size=1, max_size=12).map(name_of).filter(lambda name: name and not set(name) & set(",;=")),
    min_size=1,
    max_size=6,
    unique=True,
).filter(lambda names: "none" not in names)
FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
COLOURS = ["aqua", "red", "hair", "eyes"]


def words_of(text: str) -> list[str]:
    return vocabulary([text, "horse"])


# -- words ------------------------------------------------------------------------------------------------------------


@given(TEXT)
def test_tokens_of_the_joined_tokens_are_the_same(text):
    words = tokens(text)
    assert tokens(" ".join(words)) == words
    assert all(tokens(word) == [word] for word in words)


@given(TEXT)
def test_spelling_composition_and_case_make_no_difference(text):
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        assert tokens(unicodedata.normalize(form, text)) == tokens(text)
    assert tokens(text.casefold()) == tokens(text)


@given(st.text(st.characters(max_codepoint=127), max_size=40))
def test_the_shortcut_for_ascii_gives_the_same_tokens(text):
    assert tokens(text) == [word for word in tokens(f"{text} é") if word != "é"]


def test_words_of_many_scripts():
    assert tokens("Aqua hair, RED eyes!") == ["aqua", "hair", "red", "eyes"]
    assert tokens("don't long_hair 2girls") == ["don", "t", "long_hair", "2girls"]
    assert tokens("Straße \uff21\uff22\uff23 ﬁne") == ["strasse", "abc", "fine"]
    assert tokens("हिन्दी में घोड़ा") == [unicodedata.normalize("NFC", word) for word in ("हिन्दी", "में", "घोड़ा")]
    assert tokens("красные глаза") == ["красные", "глаза"]
    assert tokens("العيون حمراء") == ["العيون", "حمراء"]
    assert tokens("빨간 눈") == ["빨간", "눈"]
    assert tokens("zero\u200bwidth soft\u00adhyphen") == ["zerowidth", "softhyphen"]


def test_scripts_without_spaces_have_a_token_a_character():
    assert tokens("赤い目") == ["赤", "い", "目"]
    assert tokens("青い髪Hair") == ["青", "い", "髪", "hair"]
    assert tokens("สวัสดี") == ["ส", "วั", "ส", "ดี"]  # marks stay with what they mark
    assert tokens("が") == tokens("か\u3099") == ["が"]


def test_punctuation_alone_has_no_tokens():
    assert tokens("") == tokens(" \t\n") == tokens("!?… \uff0c。") == tokens("\u0301") == []


def test_the_vocabulary_has_the_frequent_words_first_and_ties_by_the_alphabet():
    texts = ["red eyes", "Blue eyes", "blue hair", "aqua"]
    assert vocabulary(texts) == ["blue", "eyes", "aqua", "hair", "red"]
    assert vocabulary(reversed(texts)) == vocabulary(texts)
    assert vocabulary(texts, size=3) == ["blue", "eyes", "aqua"]
    assert vocabulary(texts, least=2) == ["blue", "eyes"]


# -- numbers and back -------------------------------------------------------------------------------------------------


@given(NAMES, st.data())
def test_a_class_is_described_as_it_was_encoded(names, data):
    conditions = Conditions("class", names)
    for number, name in enumerate(names):
        c = conditions.encode(name)
        assert c.dtype == torch.int64 and c.shape == () and int(c) == number
        assert conditions.describe(c) == name
    assert conditions.count == len(names)


@given(NAMES, st.data())
def test_attributes_are_described_so_that_encoding_gives_the_same_bits(names, data):
    conditions = Conditions("attributes", names)
    values = data.draw(st.lists(FLOATS | st.sampled_from([0.0, 1.0]), min_size=len(names), max_size=len(names)))
    c = torch.tensor(values, dtype=torch.float32)
    again = conditions.encode(conditions.describe(c))
    assert again.dtype == torch.float32 and torch.equal(again, c)
    assert conditions.count == len(names)


@given(TEXT.filter(tokens), st.integers(1, 50))
def test_a_caption_of_known_words_is_described_as_far_as_it_fits(text, length):
    conditions = Conditions("caption", words_of(text), length)
    c = conditions.encode(text)
    assert c.dtype == torch.int64 and c.shape == (length,)
    assert tokens(conditions.describe(c)) == tokens(text)[:length]
    assert torch.equal(conditions.encode(conditions.describe(c)), c)
    assert conditions.unknown(text) == []
    assert 2 <= int(c.max()) < conditions.count == len(conditions.names) + 2


@given(TEXT.filter(tokens), st.integers(1, 50))
def test_padding_is_at_the_end_and_unknown_words_have_one_number(text, length):
    conditions = Conditions("caption", ["horse"], length)
    c, words = conditions.encode(text), tokens(text)[:length]
    assert (c[len(words) :] == 0).all()
    assert c[: len(words)].tolist() == [2 if word == "horse" else 1 for word in words]
    assert conditions.unknown(text) == [word for word in dict.fromkeys(tokens(text)) if word != "horse"]


def test_captions_by_hand():
    conditions = Conditions("caption", COLOURS, length=5)
    assert conditions.encode("Red eyes, aqua HAIR").tolist() == [3, 5, 2, 4, 0]
    assert conditions.encode("green eyes").tolist() == [1, 5, 0, 0, 0]
    assert conditions.describe(torch.tensor([1, 5, 0, 0, 0])) == "? eyes"
    assert conditions.encode("aqua aqua aqua aqua aqua red").tolist() == [2] * 5
    assert conditions.count == 6


def test_attributes_by_hand():
    conditions = Conditions("attributes", ["smiling", "blond hair", "age"])
    assert conditions.encode("Smiling, blond  hair").tolist() == [1, 1, 0]
    assert conditions.encode("age = 0.5; smiling=0").tolist() == [0, 0, 0.5]
    assert conditions.encode("none").tolist() == [0, 0, 0]
    for empty in ("", " , "):
        with pytest.raises(BadInput, match="name some, or write none"):
            conditions.encode(empty)
    assert conditions.describe(torch.tensor([1.0, 0, 0])) == "smiling"
    assert conditions.describe(torch.tensor([1.0, 1, 0.25])) == "smiling, blond hair, age=0.25"
    assert conditions.describe(torch.zeros(3)) == "none"


def test_names_that_differ_in_case_alone_are_told_apart_and_others_need_not_be_typed_exactly():
    assert int(Conditions("class", ["Zebra", "horse"]).encode("zebra")) == 0
    both = Conditions("class", ["a", "A"])
    assert [int(both.encode(name)) for name in ("a", "A")] == [0, 1]
    with pytest.raises(BadInput, match="unknown class 'Ab'"):  # which of the two is not for us to say
        Conditions("class", ["ab", "AB"]).encode("Ab")
    assert int(Conditions("class", ["cafe\u0301"]).encode("café")) == 0


def test_conditions_survive_pickle_and_json_and_are_compared_by_value():
    one = Conditions("class", ["b", "a"])
    assert one == Conditions("class", ("b", "a")) == pickle.loads(pickle.dumps(one))
    assert hash(one) == hash(Conditions("class", ["b", "a"]))
    assert one != Conditions("class", ["a", "b"])


# -- what cannot be meant ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "text", "line"),
    [
        ("class", "zebr", "unknown class 'zebr': did you mean zebra?"),
        ("class", "7", "unknown class '7': there are horse, zebra, Smiling"),
        ("attributes", "smilling", "unknown attribute 'smilling': did you mean Smiling?"),
        ("attributes", "zebra, xyz", "unknown attribute 'xyz': there are horse, zebra, Smiling"),
        ("attributes", "zebra=much", "attribute 'zebra=much': expected NAME, or NAME=NUMBER"),
        ("attributes", "zebra=", "attribute 'zebra=': expected NAME, or NAME=NUMBER"),
        ("attributes", "zebra=inf", "attribute 'zebra=inf': expected NAME, or NAME=NUMBER"),
        ("caption", "...", "the caption '...' is empty: write at least one word"),
    ],
)
def test_a_wrong_condition_is_refused_in_one_line(kind, text, line):
    names = ["horse", "zebra", "smiling" if kind == "caption" else "Smiling"]
    with pytest.raises(BadInput) as caught:
        Conditions(kind, names).encode(text)
    assert str(caught.value) == line


@pytest.mark.parametrize(
    ("kind", "names", "length", "line"),
    [
        ("class", [], 16, "there are no names"),
        ("class", ["a", "a"], 16, "'a' stands twice"),
        ("class", ["e\u0301", "é"], 16, "'é' stands twice"),
        ("class", ["a", " "], 16, "an empty name"),
        ("attributes", ["a=b"], 16, "rename it"),
        ("attributes", ["none"], 16, "rename it"),
        ("caption", ["Red"], 16, r"captions are read as \['red'\]"),
        ("caption", ["red eyes"], 16, r"captions are read as \['red', 'eyes'\]"),
        ("caption", ["red"], 0, "caption_length 0"),
        ("caption", ["red"], MAX_CAPTION_LENGTH + 1, "caption_length"),
        ("colour", ["red"], 16, "it is class, attributes or caption"),
    ],
)
def test_names_that_could_not_be_typed_are_refused(kind, names, length, line):
    with pytest.raises(BadInput, match=line) as caught:
        Conditions(kind, names, length)
    assert "\n" not in str(caught.value)


def test_described_numbers_are_the_stored_ones():
    c = torch.tensor([np.float32(0.1), np.float32(1e-30)])
    assert Conditions("attributes", ["a", "b"]).describe(c) == "a=0.1, b=1e-30"
