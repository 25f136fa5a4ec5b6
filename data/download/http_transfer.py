"""Downloads a file over HTTP, and resumes where an interrupted transfer ended.

    datasets/horse2zebra.zip.part        the bytes that have been received so far
    datasets/horse2zebra.zip.part.json   the note: address, ETag or date, and length of the server's file; a part
                                         without a note belongs to another program

The server is asked for the rest only if its file is still the same (RFC 9110, If-Range); otherwise the download starts
over.
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

from quagga import __version__
from quagga.errors import BadInput

CHUNK = 1 << 18  # bytes that are read at a time
TIMEOUT = 30.0  # seconds without a byte after which the transfer counts as interrupted
WAITS = (1.0, 2.0, 4.0, 8.0, 16.0)  # seconds before each new try; a try that received bytes starts the list anew
MOST_BYTES = 16 << 30  # if the size is not known beforehand; the largest published archive has 8 GB
RETRY_STATUSES = (408, 425, 429, 500, 502, 503, 504)  # HTTP's status codes for "try again"


class TransferInterrupted(Exception):
    """The transfer broke off, or the server is busy: another try may succeed."""


def fetch(
    url: str,
    target: Path,
    size: int | None = None,
    sha256: str | None = None,
    waits: Sequence[float] = WAITS,
    timeout: float = TIMEOUT,
) -> str:
    """Downloads a file, and resumes where an earlier call was stopped.

    Args:
        url: http:// or https://.
        target: the file to write; it exists only when it is complete.
        size: its size in bytes; a server that offers another size is refused at once. None: not known.
        sha256: its hash in hexadecimal; a file with another one is removed. None: not known.
        waits: seconds before each new try.
        timeout: seconds without a byte after which the transfer counts as interrupted.

    Returns:
        The SHA-256 of the file, in hexadecimal.

    Raises:
        BadInput: the address, the server or the file is not what was expected, all tries were interrupted, or the disk
            has too little room. Received bytes are kept for the next call, unless they are of no use.
    """
    if not url.startswith(("http://", "https://")):
        raise BadInput(f"{url}: an address begins with http:// or https://")
    part = target.with_name(f"{target.name}.part")
    if part.exists() and not _note_path(part).exists():  # browsers use the same suffix for unfinished files
        raise BadInput(
            f"{part} exists, and is no download of Quagga's: rename or remove it, or choose another --output"
        )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _receive_part(url, part, size, waits, timeout)
        actual_sha256 = digest(part)
    except OSError as error:
        if error.errno is None or error.strerror is None:
            raise
        raise BadInput(f"cannot write {part} ({error.strerror}): free some space or choose another --output") from None
    if sha256 is not None and actual_sha256 != sha256.lower():
        _discard(part)
        raise BadInput(
            f"{url} is not the file that was expected: its SHA-256 is {actual_sha256}, not {sha256.lower()}. It was "
            "removed; try again, name another address with --url, or another file by another name"
        )
    part.replace(target)
    _discard(part)
    return actual_sha256


def _receive_part(url: str, part: Path, size: int | None, waits: Sequence[float], timeout: float) -> None:
    """Receives the rest of a file into `part`, in as many tries as `waits` allows. Raises BadInput as `fetch`."""
    waits_left, most_received = list(waits), _size(part)
    while True:
        try:
            return _try(url, part, size, timeout)
        except TransferInterrupted as interruption:
            if _size(part) > most_received:
                waits_left, most_received = list(waits), _size(part)
            if not waits_left:
                kept = f"; {_size(part):,} bytes are kept in {part}" if _size(part) else ""
                raise BadInput(
                    f"cannot download {url} ({interruption}){kept}: look after the network and type the command again,"
                    " or name another address with --url"
                ) from None
            wait = waits_left.pop(0)
            tqdm.write(f"{interruption}: trying again in {wait:g} s", file=sys.stderr)
            time.sleep(wait)


def _try(url: str, part: Path, size: int | None, timeout: float) -> None:
    """Requests the missing bytes and writes them, in one try. Raises TransferInterrupted if some are still missing."""
    received, note = _size(part), _read_note(part, url)
    if received and not note:
        received = 0  # it is not known of which file these bytes are a part
    if received and received == note.get("length"):
        return
    request = urllib.request.Request(
        url, headers={"User-Agent": f"quagga/{__version__}", "Accept-Encoding": "identity"}
    )
    if received:
        request.add_header("Range", f"bytes={received}-")
        request.add_header("If-Range", note["validator"])
    try:
        with _opener().open(request, timeout=timeout) as answer:
            start, length = _offered_range(url, answer, size)
            if start not in (0, received) or (start and length != note.get("length")):
                _discard(part)
                raise TransferInterrupted("the server's file has changed")
            if start < received:
                tqdm.write("the server cannot go on, or its file has changed: starting over", file=sys.stderr)
            _check_room(part, length, start)
            if not start:
                _discard(part)  # before the note, which must never describe another file's bytes
                note = {"url": url, "validator": _validator(answer), "length": length}  # without validator: no resuming
                _note_path(part).write_text(json.dumps(note), "utf-8")
            _write_answer(answer, part, start, length if size is None else size)
    except urllib.error.HTTPError as error:
        with contextlib.closing(error):
            if error.code == 416:  # the rest that was requested does not exist
                _discard(part)
                raise TransferInterrupted("the server's file has changed") from None
            if error.code in RETRY_STATUSES:
                raise TransferInterrupted(f"the server says {error.code} {error.reason}") from None
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
        raise TransferInterrupted(str(error.reason)) from None
    except (http.client.HTTPException, TimeoutError, ConnectionError, ssl.SSLError) as error:
        raise TransferInterrupted(str(error) or type(error).__name__) from None


def _offered_range(url: str, answer: Any, size: int | None) -> tuple[int, int | None]:
    """Returns which bytes the server is about to send: the number of the first, and the length of the complete file
    (None: not known). Raises BadInput if that is not `size`, or too large."""
    start, length = 0, None
    try:
        if answer.status == 206:
            span, _, total = answer.headers["Content-Range"].removeprefix("bytes ").partition("/")
            start, length = int(span.partition("-")[0]), int(total)
        elif answer.headers["Content-Length"] is not None:
            length = int(answer.headers["Content-Length"])
    except (ValueError, AttributeError):
        raise TransferInterrupted("the server does not say what it sends") from None
    if size is not None and length is not None and length != size:
        raise BadInput(
            f"{url} offers {length:,} bytes, expected {size:,}: it is not the published file; name another address "
            "with --url, or another file by another name"
        )
    if (length or 0) > MOST_BYTES:
        raise BadInput(f"{url} offers {length:,} bytes, more than {MOST_BYTES:,}: check the address")
    return start, length


def _write_answer(answer: Any, part: Path, start: int, length: int | None) -> None:
    """Writes the bytes of an answer into `part`, from byte `start` on. Raises BadInput if there are too many, and
    TransferInterrupted if there are too few for a file of this length."""
    most = MOST_BYTES if length is None else length
    with (
        part.open("r+b" if start else "wb") as file,
        tqdm(total=length, initial=start, unit="B", unit_scale=True, desc=part.stem, disable=None) as bar,
    ):
        file.seek(start)
        received = start
        while chunk := answer.read(CHUNK):
            received += len(chunk)
            if received > most:
                raise BadInput(f"the server sends more than the {most:,} bytes it may: name another address with --url")
            file.write(chunk)
            bar.update(len(chunk))
    if length is not None and received < length:
        raise TransferInterrupted(f"the line broke after {received:,} of {length:,} bytes")


def _opener() -> urllib.request.OpenerDirector:
    """Returns an opener of http and https through the system's proxy. It has no handler for file://, so that no
    redirection leads to a local file."""
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
    """Returns the ETag or date that identifies the version of the server's file; None: there is none. A weak ETag does
    not identify it (RFC 9110, 13.1.5)."""
    tag = answer.headers["ETag"]
    return tag if tag and not tag.startswith("W/") else answer.headers["Last-Modified"]


def _read_note(part: Path, url: str) -> dict[str, Any]:
    """Returns the note of `part`; {} if it is missing, of another address, or not sufficient for resuming."""
    try:
        note = json.loads(_note_path(part).read_text("utf-8"))
        is_sufficient = note["url"] == url and isinstance(note["length"], int) and isinstance(note["validator"], str)
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return note if is_sufficient else {}


def _check_room(part: Path, length: int | None, start: int) -> None:
    """Raises BadInput if the disk has too little room for the rest of a file."""
    free = shutil.disk_usage(part.parent).free
    if length is not None and length - start > free:
        raise BadInput(
            f"{part.parent} has room for {free:,} bytes, and {length - start:,} are missing: free some, or choose "
            "another --output"
        )


def digest(path: Path) -> str:
    """Returns the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _note_path(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _discard(part: Path) -> None:
    """Removes the received bytes and their note."""
    part.unlink(missing_ok=True)
    _note_path(part).unlink(missing_ok=True)
