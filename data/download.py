"""One file from a web server, however often the line breaks: what has come stays, and the rest is asked for.

    datasets/horse2zebra.zip.part        what has come so far
    datasets/horse2zebra.zip.part.json   of which file of the server: its address, its ETag or date, its length; a part
                                         without this note is somebody else's

So the server is asked for the rest only if its file is still the same (RFC 9110, If-Range); else all starts over.
"""

import contextlib
import hashlib
import http.client
import json
import shutil
import ssl
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from quagga import BadInput, __version__

CHUNK = 1 << 18
TIMEOUT = 30.0  # seconds without a byte after which the line counts as broken
WAITS = (1.0, 2.0, 4.0, 8.0, 16.0)  # seconds before each new try; a try that brought bytes starts the list anew
MOST_BYTES = 16 << 30  # where the size is not known beforehand; the largest published archive has 8 GB
PASSING = (408, 425, 429, 500, 502, 503, 504)  # HTTP's numbers for "try again"


class Broken(Exception):
    """The line broke, or the server is busy: worth another try."""


def fetch(
    url: str,
    target: Path,
    size: int | None = None,
    sha256: str | None = None,
    waits: Sequence[float] = WAITS,
    timeout: float = TIMEOUT,
) -> str:
    """Downloads a file to `target`, going on where an earlier call was stopped. Returns its SHA-256 in hexadecimal.

    Args:
        url: http:// or https://.
        target: The file that is there when all has come, and not before.
        size: In bytes, where it is known beforehand; a server that offers another size is refused at once.
        sha256: In hexadecimal, where it is known; a file that differs is removed.
        waits: Seconds before each new try.
        timeout: Seconds without a byte after which the line counts as broken.

    Raises:
        BadInput: the address, the server or the file is not what was expected, the line stays broken, or the disk has
            too little room. What has come is kept for the next call, unless it is of no use.
    """
    if not url.startswith(("http://", "https://")):
        raise BadInput(f"{url}: an address begins with http:// or https://")
    part = target.with_name(f"{target.name}.part")
    if part.exists() and not _note(part).exists():  # browsers, too, call their unfinished files so
        raise BadInput(
            f"{part} exists, and is no download of Quagga's: rename or remove it, or choose another --output"
        )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _fetch(url, part, size, waits, timeout)
        found = digest(part)
    except OSError as error:
        if error.errno is None or error.strerror is None:
            raise
        raise BadInput(f"cannot write {part} ({error.strerror}): free some space or choose another --output") from None
    if sha256 is not None and found != sha256.lower():
        _forget(part)
        raise BadInput(
            f"{url} is not the file that was expected: its SHA-256 is {found}, not {sha256.lower()}. It was removed; "
            "try again, name another address with --url, or another file by another name"
        )
    part.replace(target)
    _forget(part)
    return found


def _fetch(url: str, part: Path, size: int | None, waits: Sequence[float], timeout: float) -> None:
    left, most = list(waits), _length(part)
    while True:
        try:
            return _try(url, part, size, timeout)
        except Broken as broken:
            if _length(part) > most:
                left, most = list(waits), _length(part)
            if not left:
                kept = f"; {_length(part):,} bytes are kept in {part}" if _length(part) else ""
                raise BadInput(
                    f"cannot download {url} ({broken}){kept}: look after the network and type the command again, or "
                    "name another address with --url"
                ) from None
            wait = left.pop(0)
            tqdm.write(f"{broken}: trying again in {wait:g} s", file=sys.stderr)
            time.sleep(wait)


def _try(url: str, part: Path, size: int | None, timeout: float) -> None:
    """Asks for what is missing and writes what comes, to the end. Raises Broken where it ends before."""
    here, known = _length(part), _known(part, url)
    if here and not known:
        here = 0  # nobody knows what it is a part of
    if here and here == known.get("length"):
        return
    request = urllib.request.Request(
        url, headers={"User-Agent": f"quagga/{__version__}", "Accept-Encoding": "identity"}
    )
    if here:
        request.add_header("Range", f"bytes={here}-")
        request.add_header("If-Range", known["validator"])
    try:
        with _opener().open(request, timeout=timeout) as answer:
            start, length = _offered(url, answer, size)
            if start not in (0, here) or (start and length != known.get("length")):
                _forget(part)
                raise Broken("the server's file has changed")
            if start < here:
                tqdm.write("the server cannot go on, or its file has changed: starting over", file=sys.stderr)
            _room(part, length, start)
            if not start:
                _forget(part)  # before the note, which must never describe another file's bytes
                note = {"url": url, "validator": _validator(answer), "length": length}  # None: there is no going on
                _note(part).write_text(json.dumps(note), "utf-8")
            _receive(answer, part, start, length if size is None else size)
    except urllib.error.HTTPError as error:
        with contextlib.closing(error):
            if error.code == 416:  # the rest that was asked for does not exist
                _forget(part)
                raise Broken("the server's file has changed") from None
            if error.code in PASSING:
                raise Broken(f"the server says {error.code} {error.reason}") from None
            raise BadInput(
                f"{url}: the server says {error.code} {error.reason}: check the address, or name another with --url"
            ) from None
    except urllib.error.URLError as error:
        if "unknown url type" in str(error.reason):  # after a redirection
            raise BadInput(
                f"{url} leads to an address that is neither http nor https: name another with --url"
            ) from None
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            raise BadInput(
                f"{url}: the server's certificate is not good ({error.reason.verify_message}): name another address "
                "with --url, and --sha256 if you know it"
            ) from None
        raise Broken(str(error.reason)) from None
    except (http.client.HTTPException, TimeoutError, ConnectionError, ssl.SSLError) as error:
        raise Broken(str(error) or type(error).__name__) from None


def _offered(url: str, answer: Any, size: int | None) -> tuple[int, int | None]:
    """What the server is about to send: (from which byte on, length of the whole file or None)."""
    start, length = 0, None
    try:
        if answer.status == 206:
            span, _, whole = answer.headers["Content-Range"].removeprefix("bytes ").partition("/")
            start, length = int(span.partition("-")[0]), int(whole)
        elif answer.headers["Content-Length"] is not None:
            length = int(answer.headers["Content-Length"])
    except (ValueError, AttributeError):
        raise Broken("the server does not say what it sends") from None
    if size is not None and length is not None and length != size:
        raise BadInput(
            f"{url} offers {length:,} bytes, expected {size:,}: it is not the published file; name another address "
            "with --url, or another file by another name"
        )
    if (length or 0) > MOST_BYTES:
        raise BadInput(f"{url} offers {length:,} bytes, more than {MOST_BYTES:,}: check the address")
    return start, length


def _receive(answer: Any, part: Path, start: int, length: int | None) -> None:
    most = MOST_BYTES if length is None else length
    with (
        part.open("r+b" if start else "wb") as file,
        tqdm(total=length, initial=start, unit="B", unit_scale=True, desc=part.stem, disable=None) as bar,
    ):
        file.seek(start)
        here = start
        while piece := answer.read(CHUNK):
            here += len(piece)
            if here > most:
                raise BadInput(f"the server sends more than the {most:,} bytes it may: name another address with --url")
            file.write(piece)
            bar.update(len(piece))
    if length is not None and here < length:
        raise Broken(f"the line broke after {here:,} of {length:,} bytes")


def _opener() -> urllib.request.OpenerDirector:
    """http and https through the system's proxy; a redirection cannot lead to a file of this machine."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPErrorProcessor,
        urllib.request.UnknownHandler,
    ):
        opener.add_handler(handler())
    return opener


def _validator(answer: Any) -> str | None:
    """What tells this version of the file from others; a weak ETag does not (RFC 9110, 13.1.5)."""
    tag = answer.headers["ETag"]
    return tag if tag and not tag.startswith("W/") else answer.headers["Last-Modified"]


def _known(part: Path, url: str) -> dict[str, Any]:
    """What was noted of the file that `part` is a part of, or nothing."""
    try:
        note = json.loads(_note(part).read_text("utf-8"))
        fits = note["url"] == url and isinstance(note["length"], int) and isinstance(note["validator"], str)
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return note if fits else {}


def _room(part: Path, length: int | None, start: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if length is not None and length - start > free:
        raise BadInput(
            f"{part.parent} has room for {free:,} bytes, and {length - start:,} are missing: free some, or choose "
            "another --output"
        )


def digest(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _length(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _note(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _note(part).unlink(missing_ok=True)
