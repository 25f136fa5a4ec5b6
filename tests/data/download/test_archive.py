"""What comes out of an archive lies in the target, whole, or nothing comes out at all."""

import errno
import gzip
import io
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from quagga.data.download import archive
from quagga.data.download.archive import ALLOWANCE, Member, Unpacked, unpack
from quagga.errors import BadInput

FILES = {"set/trainA/1.jpg": b"a horse", "set/trainB/1.jpg": b"a zebra" * 9, "set/trainB/empty.txt": b""}


def zipped(path: Path, files: dict[str, bytes], kinds: dict[str, int] | None = None) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in files.items():
            entry = zipfile.ZipInfo("x")
            entry.filename, entry.compress_type = name, zipfile.ZIP_DEFLATED
            entry.external_attr = ((kinds or {}).get(name, stat.S_IFREG) | 0o777) << 16
            packed.writestr(entry, content)
    return path


def tarred(path: Path, files: dict[str, bytes], mode: str = "w:gz", **attributes: object) -> Path:
    with tarfile.open(path, mode) as packed:  # pyright: ignore[reportCallIssue, reportArgumentType]
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            for key, value in attributes.items():
                setattr(entry, key, value)
            packed.addfile(entry, io.BytesIO(content))
    return path


def plain_tarred(path: Path, files: dict[str, bytes]) -> Path:
    return tarred(path, files, "w")


MAKERS = {"zip": zipped, "tar.gz": tarred, "tar": plain_tarred}


def below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def refused(packed: Path, words: str, **limits: Any) -> None:
    """It is refused in one line with these words, and the disk is as before."""
    place = packed.parent
    before = set(place.rglob("*"))
    with pytest.raises(BadInput) as caught:
        unpack(packed, place / "target", **limits)
    assert words in str(caught.value) and "\n" not in str(caught.value), str(caught.value)
    assert set(place.rglob("*")) == before
    assert not (place.parent / "evil.txt").exists()


@pytest.fixture(params=MAKERS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def make(kind: str, tmp_path: Path) -> Callable[[dict[str, bytes]], Path]:
    (tmp_path / "work").mkdir()
    return lambda files: MAKERS[kind](tmp_path / "work" / f"a.{kind}", files)


def test_the_files_of_an_archive_are_unpacked(make):
    packed = make(FILES)
    pieces: list[int] = []
    target = packed.parent / "sets" / "mine"
    size = sum(map(len, FILES.values()))
    assert unpack(packed, target, on_bytes=pieces.append) == Unpacked(target, len(FILES), size)
    assert below(target) == {name.removeprefix("set/"): content for name, content in FILES.items()}
    assert sum(pieces) == size
    assert {path.name for path in target.parent.iterdir()} == {"mine"}  # and no draft


def test_a_single_folder_becomes_the_target_and_several_are_kept(make):
    files = {"trainA/1.jpg": b"1", "trainB/2.jpg": b"2", "__MACOSX/._1.jpg": b"", "./trainB/3.jpg": b"3"}
    target = make(files).parent / "target"
    unpack(make(files), target)
    assert {path.name for path in target.iterdir()} == {"trainA", "trainB", "__MACOSX"}
    one = {f"in/{name}": content for name, content in files.items()} | {"__MACOSX/._in": b"", ".DS_Store": b""}
    unpack(make(one), target.with_name("other"))
    assert {path.name for path in target.with_name("other").iterdir()} == {"trainA", "trainB", "__MACOSX"}


def test_an_existing_target_is_left_alone(make):
    packed = make(FILES)
    (packed.parent / "target").mkdir()
    refused(packed, "exists already")
    (packed.parent / "target").rmdir()
    (packed.parent / "target").symlink_to("nowhere")
    refused(packed, "exists already")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("../evil.txt", "climbs"),
        ("set/../../../evil.txt", "climbs"),
        ("set/../fine.txt", "climbs"),
        ("..\\..\\evil.txt", "climbs"),
        ("/evil.txt", "absolute"),
        ("//server/share/evil.txt", "absolute"),
        ("\\evil.txt", "absolute"),
        ("C:\\evil.txt", "absolute"),
        ("c:evil.txt", "absolute"),
        ("set/a\nb.txt", "control"),
        ("set/" + "d/" * 20 + "deep.txt", "too deep"),
        ("set/" + "x" * 1200, "too long"),
    ],
)
def test_a_name_that_leaves_the_folder_is_refused(make, name, words):
    refused(make({"set/first.txt": b"harmless", name: b"evil"}), words)


@pytest.mark.parametrize(
    "names",
    [
        ("set/a.jpg", "set/a.jpg"),
        ("set/a.jpg", "set/A.JPG"),
        ("set/a.jpg", "set/./a.jpg"),
        ("set/caf\u00e9.jpg", "set/cafe\u0301.jpg"),
        ("set/a", "set/a/b.jpg"),
        ("set/a/b.jpg", "set/a"),
        ("set/A/b.jpg", "set/a"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_names_that_are_one_file_on_some_system_are_refused(kind, tmp_path, names):
    path = tmp_path / f"a.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as packed:
            for name in names:
                packed.writestr(name, b"1")
    else:
        with tarfile.open(path, "w:gz" if kind == "tar.gz" else "w") as packed:
            for name in names:
                entry = tarfile.TarInfo(name)
                entry.size = 1
                packed.addfile(entry, io.BytesIO(b"1"))
    refused(path, "occurs twice")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK])
def test_links_and_devices_in_a_zip_are_refused(tmp_path, kind):
    refused(zipped(tmp_path / "a.zip", {"set/l": b"../../evil.txt"}, {"set/l": kind}), "link or a device")


@pytest.mark.parametrize(
    "kind",
    [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.GNUTYPE_SPARSE],
)
def test_links_devices_and_holes_in_a_tar_are_refused(tmp_path, kind):
    refused(tarred(tmp_path / "a.tar.gz", {"set/l": b""}, type=kind, linkname="../../evil.txt"), "link, a device")


def test_members_that_the_second_check_refuses_are_refused(tmp_path, monkeypatch):
    """Python's own filter looks at every member of a tar, in case our rules have a hole."""
    monkeypatch.setattr(archive, "_checked_path", lambda archive, draft, member, seen: draft / "harmless.txt")
    refused(tarred(tmp_path / "a.tar.gz", {"../evil.txt": b"evil"}), "outside the destination")


def test_empty_folders_are_not_made_and_an_archive_of_them_is_refused(make, kind):
    packed = make({"set/a/1": b"1"})
    with zipfile.ZipFile(packed, "a") if kind == "zip" else tarfile.open(packed.with_suffix(".x"), "w") as more:
        if isinstance(more, zipfile.ZipFile):
            more.mkdir("set/empty")
        else:
            for name in ("set", "set/empty"):
                entry = tarfile.TarInfo(name)
                entry.type = tarfile.DIRTYPE
                more.addfile(entry)
    if kind == "zip":
        assert [path.name for path in unpack(packed, packed.parent / "target").folder.iterdir()] == ["a"]
    else:
        refused(packed.with_suffix(".x"), "holds no file")


def test_a_tar_of_the_current_folder_is_unpacked(tmp_path):
    (tmp_path / "set" / "trainA").mkdir(parents=True)
    (tmp_path / "set" / "trainA" / "1.jpg").write_bytes(b"1")
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as packed:
        packed.add(tmp_path / "set", ".")
    assert below(unpack(tmp_path / "a.tar.gz", tmp_path / "target").folder) == {"1.jpg": b"1"}


def test_endless_empty_folders_are_refused(tmp_path):
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as packed:
        for number in range(2000):
            entry = tarfile.TarInfo(f"set/{number}")
            entry.type = tarfile.DIRTYPE
            packed.addfile(entry)
    refused(tmp_path / "a.tar.gz", "files and folders")


def test_more_files_or_bytes_than_the_limits_are_refused(make):
    packed = make({f"set/{number}/f": b"12345" for number in range(5)})
    refused(packed, "more than 10 files and folders", most_files=10)  # the folders count, too: 11
    refused(packed, "more than 24 bytes", most_bytes=24)
    unpack(packed, packed.parent / "target", most_files=11, most_bytes=25)


def test_an_archive_that_grows_too_much_is_refused(kind, make):
    if kind == "tar":
        pytest.skip("a tar is as large as its content")
    refused(make({"set/bomb": bytes(ALLOWANCE + (4 << 20))}), "unpacks to more than")
    refused(make({f"set/{number}": bytes(1 << 20) for number in range(20)}), "unpacks to more than")


def test_a_zip_that_lies_about_its_sizes_is_refused(tmp_path):
    path = zipped(tmp_path / "a.zip", {"set/bomb": bytes(30 << 20)})
    content = path.read_bytes()
    path.write_bytes(content.replace((30 << 20).to_bytes(4, "little"), (100).to_bytes(4, "little")))
    refused(path, "damaged")


def test_encrypted_and_rarely_packed_files_are_refused(tmp_path):
    path = zipped(tmp_path / "a.zip", {"set/secret": b"1"})
    content = bytearray(path.read_bytes())
    for mark, place in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        content[content.index(mark) + place] |= 1
    path.write_bytes(content)
    refused(path, "'set/secret' in it is encrypted")
    for method in (zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2):
        with zipfile.ZipFile(path, "w", method) as packed:
            packed.writestr("set/a", b"1")
        refused(path, "rare way")


def headers(*fields: tuple[bytes, bytes]) -> bytes:
    """A tar that begins with headers of these (type, content)."""
    blocks = b""
    for kind, content in fields:
        entry = tarfile.TarInfo("././@LongLink")
        entry.type, entry.size = kind, len(content)
        blocks += entry.tobuf(tarfile.USTAR_FORMAT) + content + bytes(-len(content) % 512)
    return blocks


@pytest.mark.parametrize(
    "content",
    [
        headers((tarfile.GNUTYPE_LONGNAME, b"n" * (20 << 20))),
        headers((tarfile.XHDTYPE, b"9" * 60_000)),
        headers(*[(tarfile.GNUTYPE_LONGNAME, b"n")] * 3000),
        headers((tarfile.XHDTYPE, b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n"), (tarfile.REGTYPE, b"1\n0\n0\n")),
        headers((tarfile.XHDTYPE, b"20 size=-1000000000\n"), (tarfile.REGTYPE, b"1")),
        headers((tarfile.XHDTYPE, b"20 size=99999999999\n"), (tarfile.REGTYPE, b"1")),
    ],
    ids=["endless name", "many digits", "names of names", "holes", "negative size", "enormous size"],
)
def test_headers_that_ask_for_too_much_are_refused(tmp_path, content):
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(content + bytes(1024)))
    refused(tmp_path / "a.tar.gz", "a.tar.gz is ")


def test_a_long_header_is_not_read_at_all(tmp_path):
    content = headers((tarfile.GNUTYPE_LONGNAME, b"n" * 100_000))
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(content + bytes(1024)))
    refused(tmp_path / "a.tar.gz", "a header of 100352 bytes")
    negative = headers((tarfile.XHDTYPE, b"11 size=-1\n"), (tarfile.REGTYPE, b""))
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(negative + bytes(1024)))
    refused(tmp_path / "a.tar.gz", "has a negative size")
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(headers((tarfile.XHDTYPE, b"9" * 100)) + bytes(1024)))
    refused(tmp_path / "a.tar.gz", "a number of 64 digits")


@pytest.mark.parametrize("member", [Member("a", 1, iter([bytes(100)])), Member("a", 100, iter([]))])
def test_declared_and_actual_bytes_are_limited(tmp_path, monkeypatch, member):
    monkeypatch.setattr(archive, "_members", lambda *_: iter([member]))
    refused(zipped(tmp_path / "a.zip", FILES), "more than 50 bytes", most_bytes=50)


def test_a_damaged_archive_is_refused_and_leaves_nothing(make):
    packed = make({"set/a": bytes(range(256)) * 8, "set/b": b"b" * 3000, "set/c": b"c"})
    content = packed.read_bytes()
    for end in range(0, len(content), max(1, len(content) // 40)):
        packed.write_bytes(content[:end])
        if end < 7168 + 512 or not packed.name.endswith(".tar"):  # a tar ends with zeros, the rest is filling
            refused(packed, "a.")


def test_a_flipped_byte_is_found_by_the_checksum(kind, make):
    if kind == "tar":
        pytest.skip("a tar has no checksum of its content")
    packed = make({"set/a": bytes(range(256)) * 4, "set/b": b"b" * 600})
    content = bytearray(packed.read_bytes())
    place = content.index(b"PK\1\2") - 60 if kind == "zip" else len(content) - 8
    content[place] ^= 0x10
    packed.write_bytes(content)
    refused(packed, "damaged")


def test_what_is_no_archive_is_refused(tmp_path):
    for content in (b"", b"<!DOCTYPE html><p>404", b"PK", b"\xfd7zXZ\0", b"BZh91AY"):
        (tmp_path / "a.zip").write_bytes(content)
        refused(tmp_path / "a.zip", "no zip, tar or tar.gz")


def test_a_full_disk_raises_oserror_and_leaves_nothing(make, monkeypatch):
    packed = make(FILES)

    def full(count: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        unpack(packed, packed.parent / "target", on_bytes=full)
    assert {path.name for path in packed.parent.iterdir()} == {packed.name}


def test_a_stop_leaves_nothing_and_an_old_draft_is_replaced(make):
    packed = make(FILES)

    def stop(count: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        unpack(packed, packed.parent / "target", on_bytes=stop)
    assert {path.name for path in packed.parent.iterdir()} == {packed.name}
    (packed.parent / ".target.draft").mkdir()
    (packed.parent / ".target.draft" / "left.jpg").write_bytes(b"by a kill")
    assert "left.jpg" not in below(unpack(packed, packed.parent / "target").folder)


def test_a_member_is_read_in_chunks(make, monkeypatch):
    monkeypatch.setattr(archive, "CHUNK", 1000)
    packed = make({"set/a": bytes(5500)})
    pieces: list[int] = []
    unpack(packed, packed.parent / "target", on_bytes=pieces.append)
    assert sum(pieces) == 5500 and max(pieces) <= 1000
