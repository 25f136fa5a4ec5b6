"""Keeps the network from the tests: a look-up or a connection that leaves this machine is noted and refused.

Python imports a module of this name when it starts, so that processes which tests start are guarded as well, wherever
PYTHONPATH is theirs (not with -I); tests/conftest.py runs it for the tests themselves. What only C++ code does, as
torch's process groups do on the loopback address, is not seen.
"""

import os
import socket
import sys

MARK = "guarded_by_quaggas_tests"
LOOPBACK = ("localhost", "127.", "::1", "0.0.0.0", "::ffff:127.")  # and the name of the machine itself


def refuse(host: object, how: str) -> None:
    """Raises for a host that is not this machine, and notes it in the file that QUAGGA_LOOKUPS names."""
    name = host.decode(errors="replace") if isinstance(host, bytes) else str(host or "")
    if not name or name.startswith(LOOPBACK) or name == socket.gethostname():
        return
    note = os.environ.get("QUAGGA_LOOKUPS")
    if note:
        with open(note, "a", encoding="utf-8") as file:  # noqa: PTH123  as little as can be is imported here
            file.write(f"{how}({name}) by {os.path.basename(sys.argv[0]) if sys.argv else 'python'}\n")  # noqa: PTH119
    raise OSError(f"tests do without the network: {how}({name}) was refused")


def guarded(how: str, original, host_of):
    def call(*arguments, **named):
        refuse(host_of(*arguments, **named), how)
        return original(*arguments, **named)

    setattr(call, MARK, True)
    return call


def first(host=None, *_others, **_named):
    return host


def of_address(_socket, address, *others):
    address = others[-1] if others else address  # sendto(data, flags, address)
    return address[0] if isinstance(address, tuple) else None  # a path is no network


if not hasattr(socket.getaddrinfo, MARK):
    for name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex", "gethostbyaddr"):
        setattr(socket, name, guarded(name, getattr(socket, name), first))
    for name in ("connect", "connect_ex", "sendto"):
        setattr(socket.socket, name, guarded(name, getattr(socket.socket, name), of_address))
