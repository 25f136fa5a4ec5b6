import json
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from quagga.data.conditioned import Conditioned
from quagga.data.synthetic.scenes import COATS, held_out, scene, training, write
from quagga.data.transforms.conditions import tokens
from quagga.errors import BadInput

SCENES = [scene(index) for index in range(200)]


def brightness(picture: np.ndarray) -> np.ndarray:
    return picture.astype(float).mean(-1)


def test_a_scene_is_a_function_of_seed_and_index():
    one, again = scene(5, size=48, seed=3), scene(5, size=48, seed=3)
    for name in ("horse", "zebra", "mask", "edges"):
        assert np.array_equal(getattr(one, name), getattr(again, name))
    assert one.attributes == again.attributes
    assert not np.array_equal(one.horse, scene(6, size=48, seed=3).horse)
    assert not np.array_equal(one.horse, scene(5, size=48, seed=4).horse)


@pytest.mark.parametrize("size", [32, 50, 64, 128, 512])
def test_size_changes_the_resolution_only(size):
    one, reference = scene(11, size), scene(11, 256)
    assert one.horse.shape == one.zebra.shape == (size, size, 3)
    assert one.mask.shape == one.edges.shape == (size, size)
    assert (one.horse.dtype, one.mask.dtype, one.edges.dtype) == (np.uint8, np.float32, np.uint8)
    assert one.attributes == reference.attributes
    for name in ("horse", "zebra"):
        coarse = [cv2.resize(getattr(each, name), (16, 16), interpolation=cv2.INTER_AREA) for each in (one, reference)]
        assert np.abs(coarse[0].astype(float) - coarse[1]).mean() < 4


def test_both_coats_share_every_pixel_that_is_not_animal():
    for one in SCENES:
        outside, inside = one.mask == 0, one.mask > 0.99
        assert np.array_equal(one.horse[outside], one.zebra[outside])
        assert np.abs(brightness(one.horse) - brightness(one.zebra))[inside].mean() > 25
        assert one.mask.min() >= 0 and one.mask.max() <= 1


def test_the_animal_fills_much_of_the_picture_but_stays_inside():
    cover = np.array([one.mask.mean() for one in SCENES])
    assert 0.2 < cover.mean() < 0.35
    assert cover.min() > 0.15
    for one in SCENES:
        border = np.concatenate([one.mask[0], one.mask[-1], one.mask[:, 0], one.mask[:, -1]])
        assert border.max() == 0


def test_stripes_can_be_resolved_at_64_pixels():
    periods, contrasts = [], []
    for one in SCENES:
        row = one.mask.sum(1).argmax()  # through the trunk
        inside = one.mask[row] > 0.95
        light = brightness(one.zebra)[row][inside]
        dark = light < (light.min() + light.max()) / 2
        periods.append(2 * len(light) / max(1, np.abs(np.diff(dark.astype(int))).sum()))
        contrasts.append(light.std())
    assert 4 < np.median(periods) < 9
    assert np.median(contrasts) > 60  # of 127 at most


def test_attributes_are_balanced():
    for name in SCENES[0].attributes:
        share = np.mean([one.attributes[name] for one in SCENES])
        assert 0.15 < share < 0.85, name


def test_attributes_can_be_seen():
    def mean(figure, **wanted):
        return np.mean([figure(one) for one in SCENES if all(one.attributes[k] is v for k, v in wanted.items())])

    def land(one, rows):  # mean colour of what is no animal
        return one.horse[rows][one.mask[rows] == 0].astype(float).mean(0)

    def brightness_of_sky(one):
        return land(one, slice(0, 20)).mean()

    def redness_of_sky(one):
        return land(one, slice(0, 28)) @ (1, 0, -1)

    def greenness_of_ground(one):
        return land(one, slice(54, 64)) @ (-1, 1, 0)

    def brightness_of_coat(one):
        return brightness(one.horse)[one.mask > 0.99].mean()

    def top(one):
        return np.argmax(one.mask.max(1) > 0.5)

    def head(one):  # what stands highest, from left (0) to right (63)
        rows = one.mask[top(one) : top(one) + 12]
        return (rows.sum(0) * np.arange(64)).sum() / rows.sum()

    def outlines_in_the_sky(one):
        return one.edges[18:30][one.mask[18:30] == 0].mean()

    def feet(one):  # how many columns they take up: walking, they stand apart
        rows = np.flatnonzero(one.mask.max(1) > 0.5)[-3:]
        return (one.mask[rows] > 0.3).any(0).sum()

    plain = mean(outlines_in_the_sky, trees=False, hills=False)
    assert mean(brightness_of_sky, night=True) < 0.6 * mean(brightness_of_sky, night=False)
    assert mean(redness_of_sky, sunset=True) > mean(redness_of_sky, sunset=False) + 40
    assert mean(greenness_of_ground, meadow=True) > mean(greenness_of_ground, meadow=False) + 10
    assert mean(brightness_of_coat, dark_coat=True) < 0.7 * mean(brightness_of_coat, dark_coat=False)
    assert mean(top, grazing=True) > mean(top, grazing=False) + 8
    assert mean(head, facing_left=True, grazing=False) < mean(head, facing_left=False, grazing=False) - 10
    assert mean(outlines_in_the_sky, trees=True, hills=False) > 1.2 * plain
    assert mean(outlines_in_the_sky, trees=False, hills=True) > 1.2 * plain
    assert mean(feet, walking=True) > mean(feet, walking=False, grazing=False) + 0.5


def test_sentences_say_what_the_attributes_say():
    for one in SCENES:
        for coat in ("horse", "zebra"):
            sentence, attributes = one.sentence(coat), one.attributes
            assert coat in sentence
            assert (f"a {one.coat} horse" in sentence) is (coat == "horse")
            assert ("facing left" in sentence) is attributes["facing_left"] is ("facing right" not in sentence)
            words = {"sunset": "at sunset", "night": "at night", "meadow": "on a meadow"}
            for name in ("grazing", "walking", "sunset", "night", "meadow", "trees", "hills"):
                assert (words.get(name, name) in sentence) is attributes[name]
            assert one.pose in sentence
        assert one.attributes["dark_coat"] is (one.coat in ("bay", "brown", "black"))


def test_edges_run_along_the_animal():
    for one in SCENES[:40]:
        body = (one.mask > 0.5).astype(np.uint8)
        border = (body - cv2.erode(body, np.ones((3, 3), np.uint8))) > 0
        near = cv2.dilate(one.edges, np.ones((3, 3), np.uint8))
        # grass before the feet hides outlines from the mask, not from the edges
        assert (near[border][:, None] > 60).mean() > 0.9
        assert 0.04 < (one.edges > 60).mean() < 0.35


def test_training_and_held_out_animals_are_disjoint():
    lists = [training("horse", 500), training("zebra", 500), held_out("horse", 200), held_out("zebra", 200)]
    assert [len(each) for each in lists] == [500, 500, 200, 200]
    assert len({index for each in lists for index in each}) == 1400


def test_a_written_set_is_unpaired_and_has_true_translations(tmp_path):
    folder = write(tmp_path / "new" / "set", train=3, test=2, size=32, seed=7)
    names = {each.name: sorted(file.name for file in each.iterdir()) for each in folder.iterdir() if each.is_dir()}
    assert {name: len(files) for name, files in names.items()} == {
        "trainA": 3,
        "trainB": 3,
        "testA": 2,
        "testB": 2,
        "truth": 2,
        "mask": 2,
    }
    assert names["testA"] == names["truth"] == names["mask"]
    for index, name in zip(held_out("horse", 2), names["testA"], strict=True):
        one = scene(index, 32, 7)
        assert np.array_equal(np.array(Image.open(folder / "testA" / name)), one.horse)
        assert np.array_equal(np.array(Image.open(folder / "truth" / name)), one.zebra)
        assert np.abs(np.array(Image.open(folder / "mask" / name)) / 255 - one.mask).max() < 0.003
    for index, name in zip(training("zebra", 3), names["trainB"], strict=True):
        assert np.array_equal(np.array(Image.open(folder / "trainB" / name)), scene(index, 32, 7).zebra)


def test_writing_again_leaves_a_set_alone_and_other_folders_too(tmp_path):
    folder = write(tmp_path / "set", train=1, test=1, size=32)
    before = {file: file.stat().st_mtime_ns for file in folder.rglob("*.png")}
    write(folder, train=1, test=1, size=32)
    assert before == {file: file.stat().st_mtime_ns for file in folder.rglob("*.png")}
    with pytest.raises(BadInput, match="holds other things"):
        write(folder, train=2, test=1, size=32)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "holiday.jpg").write_bytes(b"")
    with pytest.raises(BadInput, match="holds other things"):
        write(mine, train=1, test=1, size=32)
    with pytest.raises(BadInput, match="is a file"):
        write(mine / "holiday.jpg", train=1, test=1, size=32)
    assert [file.name for file in mine.iterdir()] == ["holiday.jpg"]


def test_a_set_whose_writing_was_stopped_is_written_anew(tmp_path):
    stopped = tmp_path / ".set.draft" / "trainA"
    stopped.mkdir(parents=True)
    (stopped / "horse_9999.png").write_bytes(b"half")
    folder = write(tmp_path / "set", train=1, test=1, size=32)
    assert [file.name for file in (folder / "trainA").iterdir()] == ["horse_0000.png"]
    assert not stopped.exists()


def test_a_folder_beside_it_is_left_whatever_its_name(tmp_path):
    (tmp_path / "set.unfinished").mkdir()
    (tmp_path / "set.unfinished" / "mine.png").write_bytes(b"mine")
    write(tmp_path / "set", train=1, test=1, size=32)
    assert (tmp_path / "set.unfinished" / "mine.png").read_bytes() == b"mine"


@pytest.mark.parametrize("kind", ["classes", "attributes", "captions"])
def test_conditions_of_written_sets_are_those_of_their_scenes(tmp_path, kind):
    folder = write(tmp_path / "set", train=6, test=4, size=32, seed=3, kind=kind)
    condition: Any = {"classes": "class", "attributes": "attributes", "captions": "caption"}[kind]
    names = ["horse", "zebra"] if kind == "classes" else None
    data = Conditioned(root=str(folder), condition=condition, names=names, workers=0)
    scenes = {}
    for split, indices_of, count in (("train", training, 6), ("test", held_out, 4)):
        for coat in COATS:
            for index in indices_of(coat, count):
                one = scene(index, 32, 3)
                scenes[one.wearing(coat).tobytes()] = (split, coat, one)
    for split, numbers in (("train", data.dataset.train), ("test", data.dataset.test)):
        assert kind == "classes" or len(numbers) == {"train": 12, "test": 8}[split]
        for number in numbers:
            scene_split, coat, one = scenes[data.dataset.store.read(int(number)).tobytes()]
            described = data.conditions.describe(data.dataset.extras["c"][int(number)])
            words = [word if word in data.conditions.names else "?" for word in tokens(one.sentence(coat))]
            present = [name for name, value in one.seen(coat).items() if value]
            assert scene_split == split
            assert (
                described
                == {
                    "class": one.kind(coat),
                    "attributes": ", ".join(present) or "none",
                    "caption": " ".join(words),
                }[condition]
            )
    assert json.loads((folder / "embedded.json").read_text())["kind"] == kind
    with pytest.raises(BadInput, match="holds other things"):
        write(folder, train=6, test=4, size=32, seed=3)
