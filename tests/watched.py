"""Runs ``dubwright`` in this process and writes every address that Python code tries to connect to into a file.

Usage: python watched.py ADDRESSES ARGUMENT...
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path


def watch(addresses: Path) -> None:
    addresses.touch()
    real_connect, real_connect_ex = socket.socket.connect, socket.socket.connect_ex

    def note(address: object) -> None:
        with addresses.open("a") as out:
            out.write(f"{address}\n")

    def connect(self: socket.socket, address: object) -> None:
        note(address)
        real_connect(self, address)  # type: ignore[arg-type]

    def connect_ex(self: socket.socket, address: object) -> int:
        note(address)
        return real_connect_ex(self, address)  # type: ignore[arg-type]

    socket.socket.connect = connect  # type: ignore[method-assign,assignment]
    socket.socket.connect_ex = connect_ex  # type: ignore[method-assign,assignment]


if __name__ == "__main__":
    watch(Path(sys.argv[1]))
    from flows.cli import main

    sys.exit(main(sys.argv[2:]))
