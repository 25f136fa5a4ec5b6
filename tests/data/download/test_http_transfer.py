"""A download is the server's file, whole and the right one, or nothing that bears its name; against a server here."""

import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from quagga.data.download import http_transfer
from quagga.data.download.http_transfer import fetch
from quagga.data.download.published_sets import NOT_OFFERED, SETS
from quagga.errors import BadInput

CONTENT = np.random.default_rng(0).integers(0, 256, 300_000, np.uint8).tobytes()
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Server:
    """What the server on the loopback address does, and what it was asked."""

    url: str = ""
    content: bytes = CONTENT
    etag: str | None = '"one"'
    modified: str | None = None
    says_length: bool = True
    ranges: bool = True
    breaks: list[int] = field(default_factory=list)  # bytes of an answer after which the line breaks, one each time
    answers: list[int] = field(default_factory=list)  # numbers of HTTP that come before anything else
    location: str | None = None
    asked: list[dict[str, str]] = field(default_factory=list)

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        self.asked.append(dict(request.headers))
        if self.location and request.path == "/moved":
            request.send_response(302)
            request.send_header("Location", self.location)
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        if self.answers:
            request.send_error(self.answers.pop(0))
            return
        start = 0
        asked = request.headers["Range"]
        same = request.headers["If-Range"] in (self.etag, self.modified)
        if asked and self.ranges and (request.headers["If-Range"] is None or same):
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
        if start >= len(self.content) > 0:
            request.send_error(416)
            return
        body = self.content[start:]
        request.send_response(206 if start else 200)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(self.content) - 1}/{len(self.content)}")
        if self.says_length:
            request.send_header("Content-Length", str(len(body)))
        for name, value in (("ETag", self.etag), ("Last-Modified", self.modified)):
            if value:
                request.send_header(name, value)
        request.end_headers()
        request.wfile.write(body[: self.breaks.pop(0)] if self.breaks else body)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.answer(self)

        def log_message(self, format: str, *args: object) -> None: ...

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        state.url = f"http://127.0.0.1:{server.server_address[1]}/set.zip"
        yield state
        server.shutdown()


def refused(words: str, *arguments, **options) -> None:
    with pytest.raises(BadInput) as caught:
        fetch(*arguments, waits=(), **options)
    assert words in str(caught.value) and "\n" not in str(caught.value), str(caught.value)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


def test_a_download_leaves_the_complete_file_alone(server, tmp_path):
    target = tmp_path / "sets" / "set.zip"
    assert fetch(server.url, target, len(CONTENT), SHA256.upper()) == SHA256
    assert target.read_bytes() == CONTENT
    assert names(target.parent) == {"set.zip"}


def test_received_bytes_are_kept_and_only_the_rest_is_requested(server, tmp_path):
    target = tmp_path / "set.zip"
    server.breaks = [100_000]
    refused("100,000 bytes are kept", server.url, target)
    assert not target.exists() and (tmp_path / "set.zip.part").stat().st_size == 100_000
    assert fetch(server.url, target) == SHA256
    assert target.read_bytes() == CONTENT
    assert server.asked[-1]["Range"] == "bytes=100000-" and server.asked[-1]["If-Range"] == '"one"'
    assert names(tmp_path) == {"set.zip"}


def test_interrupted_transfers_are_resumed_as_long_as_bytes_arrive(server, tmp_path):
    server.breaks = [30_000] * 9
    assert fetch(server.url, tmp_path / "set.zip", waits=(0,)) == SHA256
    assert len(server.asked) == 10
    assert [request.get("Range") for request in server.asked[1:3]] == ["bytes=30000-", "bytes=60000-"]


def test_it_gives_up_if_no_bytes_arrive(server, tmp_path):
    server.breaks = [50_000, 0, 0, 0, 0]
    with pytest.raises(BadInput, match="50,000 bytes are kept"):
        fetch(server.url, tmp_path / "set.zip", waits=(0, 0))
    assert len(server.asked) == 3


@pytest.mark.parametrize("how", ["etag", "date", "length"])
def test_a_file_that_changed_starts_over(server, tmp_path, how):
    if how == "date":
        server.etag, server.modified = None, "Mon, 01 Jan 2018 00:00:00 GMT"
    server.breaks = [100_000]
    refused("kept", server.url, tmp_path / "set.zip")
    server.content = CONTENT[::-1]
    if how == "etag":
        server.etag = '"two"'
    elif how == "date":
        server.modified = "Tue, 01 Jan 2019 00:00:00 GMT"
    else:
        server.content = CONTENT[::-1] + b"more"  # under the same tag, by a server that does not keep its word
    assert fetch(server.url, tmp_path / "set.zip", waits=(0,)) == hashlib.sha256(server.content).hexdigest()
    assert (tmp_path / "set.zip").read_bytes() == server.content


def test_a_file_that_became_shorter_starts_over(server, tmp_path):
    server.breaks = [100_000]
    refused("kept", server.url, tmp_path / "set.zip")
    server.content = CONTENT[:1000]
    fetch(server.url, tmp_path / "set.zip", waits=(0,))
    assert (tmp_path / "set.zip").read_bytes() == CONTENT[:1000]


@pytest.mark.parametrize("change", [{"etag": None}, {"etag": 'W/"weak"'}, {"ranges": False}])
def test_a_server_that_cannot_resume_starts_over(server, tmp_path, change):
    for name, value in change.items():
        setattr(server, name, value)
    server.breaks = [100_000]
    assert fetch(server.url, tmp_path / "set.zip", waits=(0,)) == SHA256
    assert ("Range" in server.asked[-1]) == ("ranges" in change)


@pytest.mark.parametrize("note", [b"", b"{", b"[]", b'{"url": 1}', b'{"url": "URL", "length": "5", "validator": "v"}'])
def test_a_part_with_a_useless_note_starts_over(server, tmp_path, note):
    (tmp_path / "set.zip.part").write_bytes(b"x" * 5)
    (tmp_path / "set.zip.part.json").write_bytes(note.replace(b"URL", server.url.encode()))
    assert fetch(server.url, tmp_path / "set.zip") == SHA256
    assert "Range" not in server.asked[0]


def test_the_part_of_another_address_is_not_resumed(server, tmp_path):
    server.breaks = [100_000]
    refused("kept", server.url, tmp_path / "set.zip")
    fetch(f"{server.url}?other", tmp_path / "set.zip")
    assert "Range" not in server.asked[-1]


def test_a_stop_before_the_final_rename_needs_no_second_download(server, tmp_path):
    (tmp_path / "set.zip.part").write_bytes(CONTENT)
    note = {"url": server.url, "validator": '"one"', "length": len(CONTENT)}
    (tmp_path / "set.zip.part.json").write_text(json.dumps(note))
    assert fetch(server.url, tmp_path / "set.zip") == SHA256
    assert not server.asked


def test_a_wrong_file_is_refused_and_removed(server, tmp_path):
    refused("its SHA-256 is", server.url, tmp_path / "set.zip", sha256="0" * 64)
    assert names(tmp_path) == set()


def test_a_wrong_size_is_refused_before_the_transfer(server, tmp_path):
    refused("offers 300,000 bytes, expected 5", server.url, tmp_path / "set.zip", size=5)
    assert names(tmp_path) == set()


def test_an_endless_answer_is_refused(server, tmp_path, monkeypatch):
    server.says_length = False
    refused("more than the 1,000 bytes", server.url, tmp_path / "set.zip", size=1000)
    monkeypatch.setattr(http_transfer, "MOST_BYTES", 2000)
    refused("more than the 2,000 bytes", server.url, tmp_path / "set.zip")
    server.says_length = True
    refused("more than 2,000", server.url, tmp_path / "set.zip")


def test_an_answer_without_a_length_is_accepted(server, tmp_path):
    server.says_length = False
    assert fetch(server.url, tmp_path / "set.zip") == SHA256
    server.breaks = [1000]
    refused("broke after 1,000 of 300,000", server.url, tmp_path / "other.zip", size=len(CONTENT))


def test_a_busy_server_is_asked_again_and_a_refusal_is_reported(server, tmp_path):
    server.answers = [503, 429]
    assert fetch(server.url, tmp_path / "set.zip", waits=(0, 0)) == SHA256
    server.answers = [404] * 5
    with pytest.raises(BadInput, match="says 404 Not Found: check the address"):
        fetch(server.url, tmp_path / "other.zip", waits=(0, 0))
    assert len(server.answers) == 4  # once is enough


def test_a_silent_or_missing_server_is_reported(server, tmp_path):
    with pytest.raises(BadInput, match="look after the network"):
        fetch("http://127.0.0.1:9/set.zip", tmp_path / "set.zip", waits=(0,))


def test_a_redirection_is_followed_but_not_to_a_file(server, tmp_path):
    moved = server.url.replace("set.zip", "moved")
    server.location = server.url
    assert fetch(moved, tmp_path / "set.zip") == SHA256
    secret = tmp_path / "secret.txt"
    secret.write_text("mine")
    for location in (secret.as_uri(), "ftp://127.0.0.1/secret", "data:text/plain,secret"):
        server.location = location
        with pytest.raises(BadInput):
            fetch(moved, tmp_path / "other.zip", waits=())
    assert names(tmp_path) == {"set.zip", "secret.txt"}


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/a.zip", "set.zip", ""])
def test_other_addresses_are_refused(tmp_path, url):
    refused("begins with http", url, tmp_path / "set.zip")


def test_a_full_disk_is_reported_before_the_transfer(server, tmp_path, monkeypatch):
    class Usage:
        free = 1000

    monkeypatch.setattr(http_transfer.shutil, "disk_usage", lambda place: Usage)
    refused("has room for 1,000 bytes, and 300,000 are missing", server.url, tmp_path / "set.zip")


def test_a_target_that_cannot_be_written_is_reported(server, tmp_path):
    (tmp_path / "file").write_text("in the way")
    refused("cannot write", server.url, tmp_path / "file" / "set.zip")


def test_the_table_of_sets_is_consistent():
    for name, known in SETS.items():
        assert known.url.startswith("https://efrosgans.eecs.berkeley.edu/")
        assert known.url.endswith(".zip" if known.kind == "unpaired" else ".tar.gz")
        assert known.sha256 is None or (len(known.sha256) == 64 and int(known.sha256, 16))
        assert known.sha256 is None or known.size  # who knows the sum knows the size
        assert known.rights and known.about and name not in NOT_OFFERED
    assert len({known.url for known in SETS.values()}) == len(SETS)
    assert len({known.sha256 for known in SETS.values() if known.sha256}) == 10
    assert SETS["horse2zebra"].pictures == 1067 + 1334 + 120 + 140


def test_a_part_of_another_program_is_not_touched(server, tmp_path):
    (tmp_path / "set.zip.part").write_bytes(b"a browser's")
    refused("no download of Quagga's", server.url, tmp_path / "set.zip")
    assert (tmp_path / "set.zip.part").read_bytes() == b"a browser's" and not server.asked


def test_a_part_without_a_validator_is_recognised_as_ours(server, tmp_path):
    server.etag, server.breaks = None, [100_000]
    refused("kept", server.url, tmp_path / "set.zip")
    assert fetch(server.url, tmp_path / "set.zip") == SHA256
