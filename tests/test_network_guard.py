"""The guard that keeps the network from all other tests (tests/guard) sees what it must see."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ELSEWHERE = "a.name.that.is.invalid"
ADDRESS = "192.0.2.1"  # set aside for documentation (RFC 5737): there is nobody


@pytest.fixture
def noted() -> Iterator[list[str]]:
    """What was refused during the test, which is then forgotten: here it is no fault."""
    file = Path(os.environ["QUAGGA_LOOKUPS"])
    before = file.read_text("utf-8") if file.exists() else ""
    lines: list[str] = []
    yield lines
    lines += file.read_text("utf-8")[len(before) :].splitlines()
    file.write_text(before, "utf-8")
    assert len(lines) == 1, lines
    assert ELSEWHERE in lines[0] or ADDRESS in lines[0]


@pytest.mark.parametrize(
    "ask",
    [
        lambda: socket.getaddrinfo(ELSEWHERE, 80),
        lambda: socket.getaddrinfo(host=ELSEWHERE, port=80),
        lambda: socket.gethostbyname(ELSEWHERE),
        lambda: socket.create_connection((ELSEWHERE, 80)),
        lambda: socket.socket().connect((ADDRESS, 80)),
        lambda: socket.socket().connect_ex((ADDRESS, 80)),
        lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b"", (ADDRESS, 53)),
        lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b"", 0, (ADDRESS, 53)),
    ],
)
def test_a_look_up_is_refused_and_noted(noted, ask):
    with pytest.raises(OSError, match="tests do without the network"):
        ask()


def test_a_look_up_by_a_child_is_noted_too(noted):
    program = f"import socket; socket.getaddrinfo({ELSEWHERE!r}, 80)"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ran.returncode == 1 and "tests do without the network" in ran.stderr


def test_the_machine_itself_is_no_network():
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(("localhost", server.getsockname()[1])).close()
    socket.getaddrinfo(None, 80)
