"""Unpacking an archive that a stranger has packed: nothing outside the target, nothing without end, nothing half done.

Every member is looked at before a byte of it is written. Refused are names that are absolute, climb with `..`, name a
drive, occur twice or differ in case only (two files on Linux, one on Windows and macOS); links, devices and whatever
else is no file or folder; encryption; and more files, more bytes or a greater growth than the limits below, counted as
they come out, since what an archive declares may be a lie.

The files go into a draft folder beside the target, which is renamed when it is whole and removed whenever it is not.
"""

import errno
import gzip
import io
import os
import re
import shutil
import stat
import tarfile
import unicodedata
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, NamedTuple

from quagga import BadInput
from quagga.names import of_system

MOST_FILES = 500_000  # the largest published set has about 140,000
MOST_BYTES = 32 << 30
GROWTH, ALLOWANCE = 20, 16 << 20  # bytes out <= 20 x bytes in + 16 MiB: pictures hardly shrink when they are packed
DEEPEST = 16  # folders within one another
LONGEST = 1000  # characters of a name with its folders
LEAST = 64  # bytes an entry takes in any archive of pictures; a tar.gz of empty folders has 6
CHUNK = 1 << 18  # bytes that are in memory at a time
HEADER = 1 << 16  # bytes of a tar's header; only names and dates are in there

ZIP, GZIP = (b"PK\3\4", b"PK\5\6"), b"\x1f\x8b"
TAR, TAR_AT = b"ustar", 257
END_OF_TAR = bytes(512)
PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # others unpack with as much memory as the archive asks for


class Unpacked(NamedTuple):
    """What has come out of an archive."""

    folder: Path
    files: int
    bytes: int


class Member(NamedTuple):
    """A file of an archive, or a folder, which has no content."""

    name: str
    size: int  # as declared
    content: Iterator[bytes] | None  # in pieces, to be read before the next member is asked for
    entry: tarfile.TarInfo | None = None  # of a tar


def unpack(
    archive: Path,
    target: Path,
    most_files: int = MOST_FILES,
    most_bytes: int = MOST_BYTES,
    told: Callable[[int], object] = lambda count: None,
) -> Unpacked:
    """Unpacks a zip, tar or tar.gz, known by its first bytes, into a new folder.

    Where the archive holds a single folder, as `horse2zebra/` in horse2zebra.zip, that one becomes the target.

    Args:
        archive: The file.
        target: The folder that is made; it must not exist.
        most_files: Files and folders that may come out.
        most_bytes: Bytes that may come out.
        told: Is given the number of bytes of every piece that is written.

    Raises:
        BadInput: the target exists; the archive is damaged, of another kind, or refused; the target cannot be written.
            Nothing of it is left.
        OSError: the disk is full. Nothing is left either.
    """
    target = Path(target).absolute()
    if os.path.lexists(target):
        raise BadInput(f"{target} exists already: remove it or choose another --output")
    size = archive.stat().st_size
    most_bytes = min(most_bytes, GROWTH * size + ALLOWANCE)
    most_files = min(most_files, 1000 + size // LEAST)
    draft = target.with_name(f".{target.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        draft.mkdir(parents=True)
        files, count = _write(archive, draft.resolve(), most_files, most_bytes, told)
        (_single_folder(draft) or draft).rename(target)
    except (BadInput, MemoryError):
        raise
    except Exception as error:  # damaged archives raise nearly anything
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):  # EINVAL: an offset leads nowhere
            raise BadInput(f"cannot write {target} ({error.strerror}): choose another --output") from error
        why = " ".join(str(error).split()) or type(error).__name__
        raise BadInput(f"{archive} is damaged ({why}): download it again") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return Unpacked(target, files, count)


def _write(
    archive: Path, draft: Path, most_files: int, most_bytes: int, told: Callable[[int], object]
) -> tuple[int, int]:
    """Writes the members below `draft`: (files, bytes)."""
    seen: dict[str, bool] = {}  # name, folded -> whether it is a file
    files = count = 0
    with ExitStack() as opened:
        for member in _members(archive, most_files, most_bytes, opened):
            path = _place(archive, draft, member, seen)
            if len(seen) > most_files:
                raise _too_much(archive, f"{most_files:,} files and folders")
            if member.content is None:  # it is made with its first file
                continue
            if member.entry and hasattr(tarfile, "data_filter"):  # from Python 3.11.4 on
                tarfile.data_filter(member.entry, str(draft))  # a second wall, in case ours has a hole
            if member.size > most_bytes - count:
                raise _too_much(archive, f"{most_bytes:,} bytes")
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as file:
                for piece in member.content:
                    count += len(piece)
                    if count > most_bytes:
                        raise _too_much(archive, f"{most_bytes:,} bytes")
                    file.write(piece)
                    told(len(piece))
            files += 1
    if not files:
        raise BadInput(f"{archive} holds no file: check the address")
    return files, count


def _members(archive: Path, most_files: int, most_bytes: int, opened: ExitStack) -> Iterator[Member]:
    file = opened.enter_context(archive.open("rb"))
    start = file.read(TAR_AT + len(TAR))
    file.seek(0)
    if start.startswith(ZIP):
        return _of_zip(archive, file, most_files, most_bytes, opened)
    if start.startswith(GZIP):
        plain = opened.enter_context(gzip.GzipFile(fileobj=file))
        return _of_tar(archive, Forward(plain, most_bytes + 2 * HEADER + 2048 * most_files))
    if start[TAR_AT:] == TAR:
        return _of_tar(archive, Forward(file, archive.stat().st_size))
    raise BadInput(f"{archive} is no zip, tar or tar.gz, it begins with {start[:12]!r}: check the address")


def _of_zip(archive: Path, file: IO[bytes], most_files: int, most_bytes: int, opened: ExitStack) -> Iterator[Member]:
    packed = opened.enter_context(zipfile.ZipFile(file))
    entries = packed.infolist()
    # Of a zip all is declared in one place: what is too much is refused before anything is written.
    if len(entries) > most_files:
        raise _too_much(archive, f"{most_files:,} files and folders")
    if sum(entry.file_size for entry in entries) > most_bytes:
        raise _too_much(archive, f"{most_bytes:,} bytes")
    for entry in entries:
        name = entry.orig_filename  # before zipfile cuts it at a zero byte
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise _refused(archive, name, "is a link or a device")
        if entry.flag_bits & 0x1:
            raise _refused(archive, name, "is encrypted")
        if entry.compress_type not in PACKED:
            raise _refused(archive, name, "is packed in a rare way")
        folder = entry.is_dir() or kind == stat.S_IFDIR
        yield Member(name, entry.file_size, None if folder else _unzipped(packed, entry))


def _unzipped(packed: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Iterator[bytes]:
    with packed.open(entry) as content:
        while piece := content.read(CHUNK):
            yield piece  # at the end zipfile compares the checksum


def _of_tar(archive: Path, stream: "Forward") -> Iterator[Member]:
    packed = tarfile.TarFile(fileobj=stream, mode="r")  # pyright: ignore[reportArgumentType]  # read, seek, tell will do
    while (entry := packed.next()) is not None:
        packed.members.clear()  # it would keep them all
        if not (entry.isreg() or entry.isdir()) or entry.issparse():
            raise _refused(archive, entry.name, "is a link, a device or a file with holes")
        if entry.size < 0:
            raise _refused(archive, entry.name, "has a negative size")
        yield Member(entry.name, entry.size, None if entry.isdir() else stream.pieces(entry.size), entry)
    if stream.last != END_OF_TAR:  # tarfile takes a damaged header for the end
        raise tarfile.ReadError("it has no end")
    for _ in stream.pieces(None):  # at the end of the file gzip compares the checksum
        pass


class Forward(io.RawIOBase):
    """A tar that is read once, from its beginning, up to a limit.

    tarfile reads a long name whole, whatever size it declares, follows offsets wherever they lead, and before Python
    3.11.10 takes the square of their number to look at digits (CVE-2024-6232): all that ends here.
    """

    def __init__(self, file: IO[bytes], most: int) -> None:
        super().__init__()
        self.file, self.most, self.at, self.last = file, most, 0, b""

    def tell(self) -> int:
        """Bytes from the beginning to where it stands."""
        return self.at

    def seek(self, place: int, whence: int = os.SEEK_SET) -> int:
        """Reads on to `place`, in bytes from the beginning, and returns it.

        Raises:
            tarfile.ReadError: the place lies behind, or beyond the end or the limit.
        """
        if whence != os.SEEK_SET or place < self.at:
            raise tarfile.ReadError("its headers lead backwards")
        for _ in self.pieces(place - self.at):
            pass
        return self.at

    def read(self, size: int = -1) -> bytes:
        """A header, or a part of one."""
        if not 0 <= size <= HEADER:
            raise tarfile.ReadError(f"a header of {size} bytes")
        self.last = self._take(size)
        if re.search(rb"[0-9]{64}", self.last):
            raise tarfile.ReadError("a number of 64 digits in a header")
        return self.last

    def pieces(self, size: int | None) -> Iterator[bytes]:
        """What follows, in pieces: `size` bytes, or all there is."""
        left = size
        while left is None or left > 0:
            piece = self._take(CHUNK if left is None else min(CHUNK, left))
            if not piece and left is None:
                return
            if not piece:
                raise tarfile.ReadError("it is cut off")
            left = None if left is None else left - len(piece)
            yield piece

    def _take(self, size: int) -> bytes:
        data = self.file.read(size)
        self.at += len(data)
        if self.at > self.most:
            raise tarfile.ReadError("it unpacks to more than is allowed")
        return data


def _place(archive: Path, draft: Path, member: Member, seen: dict[str, bool]) -> Path:
    """Where a member goes, below `draft`; raises BadInput where its name is not one to be written."""
    name = member.name.replace("\\", "/")
    if not name or any(ord(letter) < 32 for letter in name):
        raise _refused(archive, member.name, "has a name with control characters, or none")
    if name.startswith("/") or re.match(r"[A-Za-z]:", name):
        raise _refused(archive, member.name, "has an absolute name")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise _refused(archive, member.name, "climbs out of the folder")
    if len(parts) > DEEPEST or len(name) > LONGEST:
        raise _refused(archive, member.name, "lies too deep or has too long a name")
    folded = unicodedata.normalize("NFC", "/".join(parts)).casefold()
    above = [folded[: slash.start()] for slash in re.finditer("/", folded)]
    is_file = member.content is not None
    if not parts and not is_file:  # "./", with which many tars begin
        return draft
    if (is_file and folded in seen) or seen.get(folded) or any(seen.get(folder) for folder in above):
        raise _refused(archive, member.name, "occurs twice, or differs from another in case only")
    seen.update(dict.fromkeys(above, False) | {folded: is_file})
    path = draft.joinpath(*map(of_system, parts))
    if not os.path.normpath(path).startswith(f"{draft}{os.sep}"):  # a second wall, as data_filter is
        raise _refused(archive, member.name, "lies outside the folder")
    return path


def _single_folder(draft: Path) -> Path | None:
    inside = [path for path in draft.iterdir() if not path.name.startswith(".") and path.name != "__MACOSX"]
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else None


def _refused(archive: Path, name: str, why: str) -> BadInput:
    return BadInput(f"{archive} is refused, {name[:80]!r} in it {why}: get it from somewhere you trust")


def _too_much(archive: Path, most: str) -> BadInput:
    return BadInput(f"{archive} is refused, it unpacks to more than {most}: get it from somewhere you trust")
