"""A worker that does what ours never does, so that tests can see the sandbox hold.

It hands bytes to TenSEAL without framing, loops, floods, and tries to reach files, processes and
the environment. The first message names what to do. Nothing in zkfed can start it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import stat

import tenseal as ts

from zkfed.he.worker import Receive, serve


def misbehave(receive: Receive) -> bytes:
    deed = receive().decode()
    if deed == "add":
        return _add_unchecked(receive)
    if deed == "allocate":
        return bytes(len(bytes(8 << 30)) % 7)
    if deed == "spin":
        while True:
            pass
    if deed == "sleep":
        signal.pause()
    if deed == "flood":
        for _ in range(1 << 20):
            os.write(_answer(), bytes(1 << 16))
    if deed == "print":
        os.write(1, b"WARNING: the library prints")
        os.write(2, b"to both streams")
    if deed == "lie":
        os.write(_answer(), b"no reply at all")
        os._exit(0)
    if deed == "raise":
        raise RuntimeError("something with a secret in it")
    if deed == "environment":
        return ",".join(sorted(os.environ)).encode()
    if deed == "reach":
        return ",".join(_reached()).encode()
    return b"done"


def _answer() -> int:
    """Returns the pipe on which the parent listens."""
    for number in range(3, 16):
        with contextlib.suppress(OSError):
            if stat.S_ISFIFO(os.fstat(number).st_mode):
                return number
    raise RuntimeError("no pipe")


def _add_unchecked(receive: Receive) -> bytes:
    context = ts.context_from(receive(), n_threads=1)
    total = ts.ckks_vector_from(context, receive())
    total += ts.ckks_vector_from(context, receive())
    return b"added"


def _reached() -> list[str]:
    reached = []
    with contextlib.suppress(OSError):
        os.open(__file__, os.O_RDONLY)
        reached.append("file")
    with contextlib.suppress(OSError):
        socket.socket()
        reached.append("socket")
    with contextlib.suppress(OSError):
        os.pipe()
        reached.append("pipe")
    with contextlib.suppress(OSError):
        os.dup(0)
        reached.append("dup")
    return reached


if __name__ == "__main__":
    serve(misbehave)
