"""Held-out pictures are split by their names alone."""

import pytest

from quagga.evaluation.splits import LEAST, ordered, part_of, split

NAMES = [f"{number:04d}.jpg" for number in range(200)]


def test_the_halves_are_halves_and_have_nothing_in_common():
    report, choose, everyone = (split(NAMES, str, part) for part in ("report", "choose", "all"))
    assert not set(report) & set(choose) and {*report, *choose} == set(NAMES) == set(everyone)
    assert 80 < len(report) < 120


def test_a_picture_stays_in_its_half_when_others_come():
    more = [*NAMES, *(f"new {name}" for name in NAMES)]
    assert set(split(NAMES, str, "report")) <= set(split(more, str, "report"))
    assert [name for name in ordered(more, str) if name in set(NAMES)] == ordered(NAMES, str)


@pytest.mark.parametrize("part", ["report", "choose"])
def test_few_pictures_are_not_split(part):
    few = NAMES[: LEAST - 1]
    assert sorted(split(few, str, part)) == few and len(split(NAMES[:LEAST], str, part)) < LEAST


def test_a_group_is_in_one_half():
    def patient(name: str) -> str:
        return name[:3]

    report = split(NAMES, patient, "report")
    assert {patient(name) for name in report} == {p for p in map(patient, NAMES) if part_of(p) == "report"}
    assert len(split(NAMES, lambda name: "one group", "report")) == len(NAMES)
