"""Bombs and archives that climb: written into a folder; what reads them comes back. See hostile.py."""

import gzip
import io
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(path: Path, side: int, before: bytes = b"") -> Path:
    """A PNG of side x side black pixels of 1 bit, deflated to almost nothing."""
    packer = zlib.compressobj(9)
    row = bytes(1 + (side + 7) // 8)
    data = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + before + chunk(b"IDAT", data) + chunk(b"IEND", b""))
    return path


def zipped(path: Path, files: dict[str, bytes], kind: int = stat.S_IFREG) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as packed:
        for name, content in files.items():
            entry = zipfile.ZipInfo("x")
            entry.filename, entry.compress_type, entry.external_attr = name, zipfile.ZIP_DEFLATED, (kind | 0o777) << 16
            packed.writestr(entry, content)
    return path


def tarred(path: Path, entries: list[tuple[str, bytes, str, bytes]]) -> Path:
    """A tar.gz of (name, type, target of the link, content)."""
    with tarfile.open(path, "w:gz") as packed:
        for name, kind, link, content in entries:
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname, entry.size = kind, link, len(content)
            packed.addfile(entry, io.BytesIO(content))
    return path


def archives(place: Path) -> Iterator[tuple[str, Path]]:
    """(what it is, the file). All that is evil wants to lie in `place`, beside the folder of the case."""
    million = bytes(1 << 20)
    evil = place / "evil.txt"
    reg, sym, hard = tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE

    bomb = place / "bomb.zip"
    zipped(bomb, {"set/trainA/zeros.png": million * 200})
    yield f"zip of {bomb.stat().st_size // 1000} KB that unpacks to 200 MB", bomb
    yield "zip of 200 files of 1 MB each", zipped(place / "many.zip", {f"set/{n}": million for n in range(200)})
    lying = zipped(place / "lying.zip", {"set/zeros": million * 200})
    size = (200 << 20).to_bytes(4, "little")
    lying.write_bytes(lying.read_bytes().replace(size, (1000).to_bytes(4, "little")))
    yield "zip of 200 MB that declares 1 KB", lying
    yield "zip of 1,000 files that share their bytes", overlapping(place / "overlap.zip")
    yield "tar.gz that unpacks to 200 MB", tarred(place / "bomb.tar.gz", [("set/zeros", reg, "", million * 200)])
    yield "tar.gz of 100,000 empty folders", folders(place / "folders.tar.gz")
    yield "tar.gz, 900 folders deep", tarred(place / "deep.tar.gz", [("d/" * 900 + "f", reg, "", b"1")])
    yield "tar.gz with a name of 200 MB", long_name(place / "name.tar.gz", tarfile.GNUTYPE_LONGNAME, b"n" * (200 << 20))
    yield (
        "tar.gz with a header of 10 MB of digits",
        long_name(place / "digits.tar.gz", tarfile.XHDTYPE, b"9" * 10_000_000),
    )
    for name in ("../../evil.txt", "set/../../../evil.txt", "..\\..\\evil.txt", str(evil), "C:\\evil.txt"):
        files = {"set/trainA/1.jpg": b"1", name: b"evil"}
        yield f"zip with {name if name != str(evil) else 'an absolute name'}", zipped(place / "a.zip", files)
        entries = [(name, reg, "", content) for name, content in files.items()]
        yield f"tar.gz with {name if name != str(evil) else 'an absolute name'}", tarred(place / "a.tar.gz", entries)
    yield "zip with a link to /etc/passwd", zipped(place / "l.zip", {"set/l": b"/etc/passwd"}, stat.S_IFLNK)
    yield "zip with a device", zipped(place / "d.zip", {"set/d": b""}, stat.S_IFCHR)
    yield (
        "tar.gz with a link, and a file through it",
        tarred(place / "link.tar.gz", [("set/up", sym, "../..", b""), ("set/up/evil.txt", reg, "", b"evil")]),
    )
    yield "tar.gz with a hard link", tarred(place / "hard.tar.gz", [("set/h", hard, "/etc/passwd", b"")])
    for kind, word in ((tarfile.CHRTYPE, "device"), (tarfile.BLKTYPE, "disk"), (tarfile.FIFOTYPE, "pipe")):
        yield f"tar.gz with a {word}", tarred(place / "dev.tar.gz", [("set/d", kind, "", b"")])
    yield "tar.gz with a.jpg and A.JPG", tarred(place / "case.tar.gz", [(n, reg, "", b"1") for n in ("a.jpg", "A.JPG")])


def overlapping(path: Path) -> Path:
    """A thousand entries of 200 KB that all point at the same bytes (Fifield 2019, A better zip bomb)."""
    whole = zipped(path, {"set/000000": bytes(200_000)}).read_bytes()
    start = whole.index(b"PK\1\2")
    end = whole.index(b"PK\5\6")
    entry = whole[start:end]
    listed = b"".join(entry.replace(b"set/000000", f"set/{n:06}".encode()) for n in range(1000))
    tail = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 1000, 1000, len(listed), start, 0)
    path.write_bytes(whole[:start] + listed + tail)
    return path


def folders(path: Path) -> Path:
    with tarfile.open(path, "w:gz") as packed:
        for number in range(100_000):
            entry = tarfile.TarInfo(f"set/{number}")
            entry.type = tarfile.DIRTYPE
            packed.addfile(entry)
    return path


def long_name(path: Path, kind: bytes, content: bytes) -> Path:
    entry = tarfile.TarInfo("././@LongLink")
    entry.type, entry.size = kind, len(content)
    path.write_bytes(gzip.compress(entry.tobuf(tarfile.USTAR_FORMAT) + content + bytes(-len(content) % 512 + 1024), 9))
    return path


def bombs(place: Path) -> Iterator[tuple[str, Callable[[Path], object]]]:
    """(what it is, what one does with it in a folder of its own)."""
    from quagga.data.download.archive import unpack
    from quagga.data.io.read import SUFFIXES, read_picture

    text = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(100 << 20), 9))
    profile = chunk(b"iCCP", b"profile\0\0" + zlib.compress(bytes(100 << 20), 9))
    huge = struct.pack("<II", 60_000, 60_000)
    files = {
        "PNG of 30000 x 30000": png(place / "bomb.png", 30_000),
        "PNG of 2 billion x 2 billion": place / "header.png",
        "PNG with 100 MB of text": png(place / "text.png", 30_000, text),
        "PNG with a colour profile of 100 MB": png(place / "profile.png", 30_000, profile),
        "GIF of 65535 x 65535": place / "bomb.gif",
        "BMP of 60000 x 60000": place / "bomb.bmp",
    }
    sides = struct.pack(">IIBBBBB", 2**31 - 1, 2**31 - 1, 8, 6, 0, 0, 0)
    files["PNG of 2 billion x 2 billion"].write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", sides) + chunk(b"IEND", b"")
    )
    files["GIF of 65535 x 65535"].write_bytes(
        b"GIF89a"
        + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0)
        + b","
        + struct.pack("<HHHHB", 0, 0, 65535, 65535, 0)
        + b"\2\0;"
    )
    files["BMP of 60000 x 60000"].write_bytes(
        b"BM"
        + struct.pack("<IHHI", 54, 0, 0, 54)
        + struct.pack("<I", 40)
        + huge
        + struct.pack("<HHIIIIII", 1, 24, 0, 0, 0, 0, 0, 0)
    )
    for name, path in files.items():
        yield name, lambda case, path=path: read_picture(path)
    if ".npz" in SUFFIXES:
        path = place / "bomb.npz"
        header = b"\x93NUMPY\1\0" + struct.pack("<H", 118)
        header += b"{'descr': '|u1', 'fortran_order': False, 'shape': (20000, 10000, 1), }".ljust(117) + b"\n"
        zipped(path, {"arr_0.npy": header + bytes(200_000_000)})
        yield "npz that unpacks to 200 MB", lambda case: read_picture(path)
    for number, (name, path) in enumerate(archives(place)):
        kept = path.rename(place / f"{number}")  # the next may bear the same name
        yield name, lambda case, kept=kept: unpack(kept, case / "in" / "target")
