"""Which pictures belong to a side, and which of them are for the test."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from quagga.data.sources import folders
from quagga.data.sources.folders import find_all, find_pictures
from quagga.data.sources.held_out import hold_out
from quagga.data.sources.two_folders import two_folders
from quagga.errors import BadInput


def fill(folder: Path, count: int, start: int = 0) -> Path:
    """Pictures 000.png, 001.png, ... that all differ."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(start, start + count):
        colour = (number % 256, number // 256, len(folder.name))
        Image.new("RGB", (4, 4), colour).save(folder / f"{number:03d}.png")
    return folder


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def refused(match: str, **folders: str) -> None:
    with pytest.raises(BadInput, match=match) as caught:
        two_folders(**folders)
    assert "\n" not in str(caught.value)


def test_pictures_are_found_below_by_suffix_in_one_order(tmp_path):
    touch(tmp_path, "b/2.JPG", "b/10.jpeg", "a.PNG", "é/馬.webp", "z.Tiff", "b/c/d/1.gif", "1.bmp", "notes.txt", "jpg")
    names = [path.relative_to(tmp_path).as_posix() for path in find_pictures(tmp_path)]
    assert names == sorted(["b/2.JPG", "b/10.jpeg", "a.PNG", "é/馬.webp", "z.Tiff", "b/c/d/1.gif", "1.bmp"])


def test_hidden_and_resource_files_are_no_pictures(tmp_path):
    touch(
        tmp_path, "1.jpg", "._1.jpg", ".hidden.png", ".trash/2.jpg", "__MACOSX/3.jpg", "a/__MACOSX/b/4.jpg", "a/._5.png"
    )
    (tmp_path / "folder.png").mkdir()
    assert find_pictures(tmp_path) == [tmp_path / "1.jpg"]


def test_links_are_followed_and_loops_end(tmp_path):
    touch(tmp_path, "elsewhere/1.jpg", "top/2.jpg")
    (tmp_path / "top" / "in").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(tmp_path / "top")
    (tmp_path / "top" / "itself").symlink_to(tmp_path / "top")
    (tmp_path / "top" / "3.jpg").symlink_to(tmp_path / "elsewhere" / "1.jpg")
    (tmp_path / "top" / "lost.jpg").symlink_to(tmp_path / "nowhere.jpg")
    names = [path.relative_to(tmp_path / "top").as_posix() for path in find_pictures(tmp_path / "top")]
    assert names == ["2.jpg", "3.jpg", "in/1.jpg", "lost.jpg"]


def test_a_root_gives_names_and_its_own_test(tmp_path):
    root = tmp_path / "horse2zebra"
    for folder, count in (("trainA", 3), ("trainB", 5), ("testA", 2), ("testB", 1)):
        fill(root / folder, count)
    for found in (two_folders(root=str(root)), two_folders(x=str(root / "trainA"), y=str(root / "trainB"))):
        assert (found.x.name, found.y.name, found.notices) == ("horse", "zebra", [])
        assert [len(part) for part in (found.x.train, found.x.test, found.y.train, found.y.test)] == [3, 2, 5, 1]
    root = root.rename(tmp_path / "animals")
    shutil.rmtree(root / "testB")
    fill(root / "valB", 3)
    found = two_folders(root=str(root), y_name="zebra")
    assert (found.x.name, found.y.name, len(found.y.test)) == ("A", "zebra", 3)


def test_two_folders_lend_their_names(tmp_path):
    fill(tmp_path / "pferde", 2)
    fill(tmp_path / "縞馬", 2)
    found = two_folders(x=str(tmp_path / "pferde"), y=str(tmp_path / "縞馬"), x_name="horse")
    assert (found.x.name, found.y.name) == ("horse", "縞馬")
    fill(tmp_path / "one" / "images", 2)
    fill(tmp_path / "two" / "images", 2)
    found = two_folders(x=str(tmp_path / "one" / "images"), y=str(tmp_path / "two" / "images"))
    assert found.x.name != found.y.name


@pytest.mark.parametrize(("count", "held"), [(1, 0), (2, 1), (6, 3), (8, 4), (40, 4), (100, 5), (200, 10), (1500, 64)])
def test_five_per_cent_are_held_out_and_said(count, held, tmp_path, monkeypatch):
    files = [tmp_path / f"{number}.png" for number in range(count)]
    for number, path in enumerate(files):
        path.write_bytes(b"%d" % number)
    side, notice = hold_out("horse", files)
    assert len(side.test) == held and sorted(side.train + side.test) == sorted(files)
    assert f"{held} of {count} pictures are held out" in notice if held else "too few" in notice


def test_what_is_held_out_depends_on_content_not_on_names_or_neighbours(tmp_path):
    files = find_pictures(fill(tmp_path / "a", 200))
    held = {path.read_bytes() for path in hold_out("a", files)[0].test}
    (tmp_path / "b").mkdir()
    renamed = [path.rename(tmp_path / "b" / f"{number * 77 % 200}.png") for number, path in enumerate(files)]
    assert {path.read_bytes() for path in hold_out("b", sorted(renamed))[0].test} == held
    for extra in range(200, 215):
        fill(tmp_path / "b", 1, start=extra)
        before, held = held, {path.read_bytes() for path in hold_out("b", find_pictures(tmp_path / "b"))[0].test}
        assert len(before - held) <= 1 and len(held - before) <= 1


def test_copies_of_a_picture_stay_on_one_side(tmp_path):
    folder = fill(tmp_path / "a", 60)
    for number in range(60):
        shutil.copy(folder / f"{number:03d}.png", folder / f"copy {number:03d}.png")
    side, _ = hold_out("a", find_pictures(folder))
    contents = [{path.read_bytes() for path in part} for part in (side.train, side.test)]
    assert len(side.test) == 6 and not contents[0] & contents[1]
    same = [tmp_path / f"{number}.png" for number in range(100)]
    for path in same:
        path.write_bytes(b"one picture")
    assert hold_out("same", same)[0].test == []


def test_large_files_are_told_apart_by_their_ends_and_middle(tmp_path):
    large = np.zeros(1 << 20, np.uint8)
    for number, place in enumerate((0, len(large) // 2, len(large) - 1)):
        changed = large.copy()
        changed[place] = 1
        (tmp_path / f"{number}.bmp").write_bytes(changed.tobytes())
    (tmp_path / "3.bmp").write_bytes(large.tobytes())
    assert len(hold_out("x", find_pictures(tmp_path))[0].test) == 2


def test_folders_that_cannot_work_are_refused_with_the_next_move(tmp_path):
    pictures = str(fill(tmp_path / "pictures", 3))
    touch(tmp_path, "empty/.keep", "raw/1.cr2", "raw/2.cr2", "raw/notes.txt")
    fill(tmp_path / "root" / "trainA", 2)
    fill(tmp_path / "root" / "trainB", 2)
    fill(tmp_path / "pictures" / "more", 2)
    refused("name the pictures: two folders, --x DIR --y DIR")
    refused("name the pictures", x=pictures)
    refused("name the pictures", root=pictures, x=pictures, y=pictures)
    refused(
        "there is no folder .*nowhere: .* holds empty, pictures, raw, root", x=str(tmp_path / "nowhere"), y=pictures
    )
    refused("is a file", x=str(tmp_path / "pictures" / "000.png"), y=pictures)
    refused(r"empty has 0 images: expected .jpg, .*, and it is empty", x=pictures, y=str(tmp_path / "empty"))
    refused(r"raw has 0 images: expected .jpg, .* found 2 .cr2, 1 .txt", x=pictures, y=str(tmp_path / "raw"))
    refused("the same folder", x=pictures, y=f"{pictures}/../pictures")
    refused("lies inside", x=pictures, y=f"{pictures}/more")
    refused("has no trainA and no trainB. It holds pictures of one kind", root=pictures)
    shutil.rmtree(tmp_path / "root" / "trainA")
    touch(tmp_path / "root", "trainA/x.txt")
    refused("trainA has 0 images", root=str(tmp_path / "root"))
    fill(tmp_path / "set" / "cats", 1)
    fill(tmp_path / "set" / "dogs", 1)
    refused("Did you mean --x .*cats --y .*dogs", root=str(tmp_path / "set"))
    touch(tmp_path / "lost", "trainA/x.txt", "trainB/x.txt")
    refused("did you mean --root", x=str(tmp_path / "lost"), y=pictures)


def test_an_unreadable_folder_is_named(tmp_path, monkeypatch):
    pictures, closed = fill(tmp_path / "pictures", 3), fill(tmp_path / "closed", 3)
    scandir = os.scandir

    def guarded(folder):
        if Path(folder) == closed:
            raise PermissionError(13, "Permission denied", str(folder))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", guarded)
    refused("closed cannot be read .Permission denied", x=str(pictures), y=str(closed))


def test_pictures_that_cannot_be_read_here_are_counted_in_one_line(tmp_path, monkeypatch):
    suffixes = tuple(suffix for suffix in folders.SUFFIXES if suffix not in (".heic", ".heif"))
    monkeypatch.setattr(folders, "SUFFIXES", suffixes)
    monkeypatch.setattr(folders, "UNREADABLE_SUFFIXES", dict.fromkeys((".heic", ".heif"), "pip install 'quagga[heic]'"))
    one, other = fill(tmp_path / "one", 3), fill(tmp_path / "other", 3)
    touch(one, *(f"{number}.HEIC" for number in range(12)), "sub/a.heif", "._b.heic", ".hidden/c.heic")
    lines = [
        "12 .heic files are left out: pip install 'quagga[heic]'",
        "1 .heif file is left out: pip install 'quagga[heic]'",
    ]
    assert find_all(one) == (find_pictures(one), lines) and find_all(other)[1] == []
    notices = two_folders(x=str(one), y=str(other)).notices
    assert [line for line in notices if "left out" in line] == [f"one: {line}" for line in lines]
    touch(tmp_path, "heic/a.heic", "heic/b.heic", "set/trainA/a.heic")
    refused(
        r"heic has 0 images that can be read: 2 .heic files are left out: pip install 'quagga\[heic\]'",
        x=str(tmp_path / "heic"),
        y=str(other),
    )
    fill(tmp_path / "set/trainA", 1)
    fill(tmp_path / "set/trainB", 1)
    assert any("A: 1 .heic file is left out" in line for line in two_folders(root=str(tmp_path / "set")).notices)


def test_arrays_and_avif_are_pictures(tmp_path):
    touch(tmp_path, "a.npy", "b.NPZ", "c.avif", "d.txt")
    assert [path.name for path in find_pictures(tmp_path)] == ["a.npy", "b.NPZ", "c.avif"]
