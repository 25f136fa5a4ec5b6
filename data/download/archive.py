"""Unpacks archives from untrusted sources: nothing is written outside the target, without limit, or in part.

Every member is checked before a byte of it is written. Refused are names that are absolute, contain `..` or a drive,
occur twice or differ in case only (two files on Linux, one on Windows and macOS); links, devices and whatever else is
no file or folder; encryption; and more files, more bytes or a greater ratio of unpacked to packed bytes than the limits
below. These are counted while unpacking, since the sizes that an archive declares may be false.

The files are written into a draft folder beside the target. It is renamed when it is complete, and removed on any
error.
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

from quagga.errors import BadInput, one_line
from quagga.filenames import utf8_to_system

MOST_FILES = 500_000  # the largest published set has about 140,000
MOST_BYTES = 32 << 30  # unpacked
GROWTH, ALLOWANCE = 20, 16 << 20  # unpacked bytes <= 20 x packed bytes + 16 MiB: pictures hardly shrink when packed
DEEPEST = 16  # levels of folders
LONGEST_NAME = 1000  # characters of a name with its folders
LEAST_ENTRY = (
    64  # bytes that an entry takes at least in an archive of pictures; in a tar.gz of empty folders it takes 6
)
CHUNK = 1 << 18  # bytes that are in memory at a time
HEADER = 1 << 16  # bytes of a tar's header, which holds names and dates only

ZIP, GZIP = (b"PK\3\4", b"PK\5\6"), b"\x1f\x8b"  # the first bytes of the files
TAR, TAR_AT = b"ustar", 257  # the mark of a tar, and its offset
END_OF_TAR = bytes(512)
ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # other methods allocate as much memory as the archive states


class Unpacked(NamedTuple):
    """The result of unpacking an archive."""

    folder: Path
    files: int  # number of files
    bytes: int  # of all files


class Member(NamedTuple):
    """A file or a folder of an archive."""

    name: str
    size: int  # in bytes, as declared
    content: Iterator[bytes] | None  # in chunks, to be read before the next member; None: it is a folder
    entry: tarfile.TarInfo | None = None  # of a tar; None: of a zip


def unpack(
    archive: Path,
    target: Path,
    most_files: int = MOST_FILES,
    most_bytes: int = MOST_BYTES,
    on_bytes: Callable[[int], object] = lambda count: None,
) -> Unpacked:
    """Unpacks a zip, tar or tar.gz, known by its first bytes, into a new folder.

    If the archive holds a single folder, as `horse2zebra/` in horse2zebra.zip, that folder becomes the target.

    Args:
        archive: the file.
        target: the folder that is made; it must not exist.
        most_files: files and folders that the archive may hold.
        most_bytes: bytes that it may unpack to.
        on_bytes: is called with the number of bytes of every chunk that is written.

    Raises:
        BadInput: the target exists; the archive is damaged, of another kind, or refused; or the target cannot be
            written. Nothing is left on the disk.
        OSError: the disk is full. Nothing is left on it.
    """
    target = Path(target).absolute()
    if os.path.lexists(target):
        raise BadInput(f"{target} exists already: remove it or choose another --output")
    size = archive.stat().st_size
    most_bytes = min(most_bytes, GROWTH * size + ALLOWANCE)
    most_files = min(most_files, 1000 + size // LEAST_ENTRY)
    draft = target.with_name(f".{target.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        draft.mkdir(parents=True)
        files, count = _write(archive, draft.resolve(), most_files, most_bytes, on_bytes)
        (_single_folder(draft) or draft).rename(target)
    except (BadInput, MemoryError):
        raise
    except Exception as error:  # damaged archives raise nearly anything
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):  # EINVAL: of a false offset
            raise BadInput(f"cannot write {target} ({error.strerror}): choose another --output") from error
        why = one_line(error, None) or type(error).__name__
        raise BadInput(f"{archive} is damaged ({why}): download it again") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return Unpacked(target, files, count)


def _write(
    archive: Path, draft: Path, most_files: int, most_bytes: int, on_bytes: Callable[[int], object]
) -> tuple[int, int]:
    """Writes the members into the folder `draft`. Returns the number of files and of bytes."""
    seen: dict[str, bool] = {}  # casefolded name -> whether it is a file
    files = count = 0
    with ExitStack() as open_files:
        for member in _members(archive, most_files, most_bytes, open_files):
            path = _checked_path(archive, draft, member, seen)
            if len(seen) > most_files:
                raise _too_much(archive, f"{most_files:,} files and folders")
            if member.content is None:  # a folder is made with its first file
                continue
            if member.entry and hasattr(tarfile, "data_filter"):  # from Python 3.11.4 on
                tarfile.data_filter(member.entry, str(draft))  # a second check, in case ours has a gap
            if member.size > most_bytes - count:
                raise _too_much(archive, f"{most_bytes:,} bytes")
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as file:
                for chunk in member.content:
                    count += len(chunk)
                    if count > most_bytes:
                        raise _too_much(archive, f"{most_bytes:,} bytes")
                    file.write(chunk)
                    on_bytes(len(chunk))
            files += 1
    if not files:
        raise BadInput(f"{archive} holds no file: check the address")
    return files, count


def _members(archive: Path, most_files: int, most_bytes: int, open_files: ExitStack) -> Iterator[Member]:
    """Opens an archive, which `open_files` will close, and returns its members. Raises BadInput for another kind of
    file."""
    file = open_files.enter_context(archive.open("rb"))
    start = file.read(TAR_AT + len(TAR))
    file.seek(0)
    if start.startswith(ZIP):
        return _zip_members(archive, file, most_files, most_bytes, open_files)
    if start.startswith(GZIP):
        plain = open_files.enter_context(gzip.GzipFile(fileobj=file))
        return _tar_members(archive, ForwardReader(plain, most_bytes + 2 * HEADER + 2048 * most_files))
    if start[TAR_AT:] == TAR:
        return _tar_members(archive, ForwardReader(file, archive.stat().st_size))
    raise BadInput(f"{archive} is no zip, tar or tar.gz, it begins with {start[:12]!r}: check the address")


def _zip_members(
    archive: Path, file: IO[bytes], most_files: int, most_bytes: int, open_files: ExitStack
) -> Iterator[Member]:
    packed = open_files.enter_context(zipfile.ZipFile(file))
    entries = packed.infolist()
    # A zip declares its contents in one place, so that too much is refused before anything is written.
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
        if entry.compress_type not in ZIP_METHODS:
            raise _refused(archive, name, "is packed in a rare way")
        is_folder = entry.is_dir() or kind == stat.S_IFDIR
        yield Member(name, entry.file_size, None if is_folder else _zip_content(packed, entry))


def _zip_content(packed: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Iterator[bytes]:
    with packed.open(entry) as content:
        while chunk := content.read(CHUNK):
            yield chunk  # at the end zipfile compares the checksum


def _tar_members(archive: Path, stream: "ForwardReader") -> Iterator[Member]:
    packed = tarfile.TarFile(fileobj=stream, mode="r")  # pyright: ignore[reportArgumentType]  # needs read, seek, tell
    while (entry := packed.next()) is not None:
        packed.members.clear()  # pyright: ignore[reportAttributeAccessIssue]  # the list would grow with the archive
        if not (entry.isreg() or entry.isdir()) or entry.issparse():
            raise _refused(archive, entry.name, "is a link, a device or a file with holes")
        if entry.size < 0:
            raise _refused(archive, entry.name, "has a negative size")
        yield Member(entry.name, entry.size, None if entry.isdir() else stream.chunks(entry.size), entry)
    if stream.last_header != END_OF_TAR:  # tarfile takes a damaged header for the end
        raise tarfile.ReadError("it has no end")
    for _ in stream.chunks(None):  # at the end of the file gzip compares the checksum
        pass


class ForwardReader(io.RawIOBase):
    """Reads a tar once, from its beginning, up to a limit.

    By itself tarfile reads a name of any declared size into memory, follows offsets in any direction, and before Python
    3.11.10 needs quadratic time for long numbers in headers (CVE-2024-6232). This class raises tarfile.ReadError in
    these cases.

    Args:
        file: the tar, unpacked.
        limit: bytes after which reading ends with tarfile.ReadError.
    """

    def __init__(self, file: IO[bytes] | gzip.GzipFile, limit: int) -> None:
        super().__init__()
        self.file, self.limit = file, limit
        self.position = 0  # in bytes from the beginning
        self.last_header = b""

    def tell(self) -> int:
        """Returns the position, in bytes from the beginning."""
        return self.position

    def seek(self, position: int, whence: int = os.SEEK_SET) -> int:
        """Reads on to a position, in bytes from the beginning, and returns it.

        Raises:
            tarfile.ReadError: the position lies behind, or beyond the end or the limit.
        """
        if whence != os.SEEK_SET or position < self.position:
            raise tarfile.ReadError("its headers lead backwards")
        for _ in self.chunks(position - self.position):
            pass
        return self.position

    def read(self, size: int = -1) -> bytes:
        """Reads a header, or a part of one."""
        if not 0 <= size <= HEADER:
            raise tarfile.ReadError(f"a header of {size} bytes")
        self.last_header = self._read(size)
        if re.search(rb"[0-9]{64}", self.last_header):
            raise tarfile.ReadError("a number of 64 digits in a header")
        return self.last_header

    def chunks(self, size: int | None) -> Iterator[bytes]:
        """Reads the next `size` bytes in chunks; None: all that follow."""
        left = size
        while left is None or left > 0:
            chunk = self._read(CHUNK if left is None else min(CHUNK, left))
            if not chunk and left is None:
                return
            if not chunk:
                raise tarfile.ReadError("it is cut off")
            left = None if left is None else left - len(chunk)
            yield chunk

    def _read(self, size: int) -> bytes:
        data = self.file.read(size)
        self.position += len(data)
        if self.position > self.limit:
            raise tarfile.ReadError("it unpacks to more than is allowed")
        return data


def _checked_path(archive: Path, draft: Path, member: Member, seen: dict[str, bool]) -> Path:
    """Returns the path of a member in the folder `draft`, and adds its name to `seen` (casefolded name -> whether it is
    a file). Raises BadInput if the name is refused."""
    name = member.name.replace("\\", "/")
    if not name or any(ord(letter) < 32 for letter in name):
        raise _refused(archive, member.name, "has a name with control characters, or none")
    if name.startswith("/") or re.match(r"[A-Za-z]:", name):
        raise _refused(archive, member.name, "has an absolute name")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise _refused(archive, member.name, "climbs out of the folder")
    if len(parts) > DEEPEST or len(name) > LONGEST_NAME:
        raise _refused(archive, member.name, "lies too deep or has too long a name")
    folded = unicodedata.normalize("NFC", "/".join(parts)).casefold()
    parents = [folded[: slash.start()] for slash in re.finditer("/", folded)]
    is_file = member.content is not None
    if not parts and not is_file:  # "./", with which many tars begin
        return draft
    if (is_file and folded in seen) or seen.get(folded) or any(seen.get(folder) for folder in parents):
        raise _refused(archive, member.name, "occurs twice, or differs from another in case only")
    seen.update(dict.fromkeys(parents, False) | {folded: is_file})
    path = draft.joinpath(*map(utf8_to_system, parts))
    if not os.path.normpath(path).startswith(f"{draft}{os.sep}"):  # a second check, as data_filter is
        raise _refused(archive, member.name, "lies outside the folder")
    return path


def _single_folder(draft: Path) -> Path | None:
    """Returns the only visible entry of a folder, if that is a folder; else None."""
    inside = [path for path in draft.iterdir() if not path.name.startswith(".") and path.name != "__MACOSX"]
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else None


def _refused(archive: Path, name: str, why: str) -> BadInput:
    return BadInput(f"{archive} is refused, {name[:80]!r} in it {why}: get it from somewhere you trust")


def _too_much(archive: Path, limit: str) -> BadInput:
    return BadInput(f"{archive} is refused, it unpacks to more than {limit}: get it from somewhere you trust")
