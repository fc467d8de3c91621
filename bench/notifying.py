"""Callout's processes with the channels that are measured: `python -m bench.notifying serve|notify [--port=…]`.

`channels` is what to change to measure others. Here a notice is a line to a socket of the benchmark's, on a
connection of its own, and the answer is a line too.
"""

from __future__ import annotations

import asyncio
import os
import sys

import orjson
import uvicorn

from callout import logs, notices
from callout.app import create_app
from callout.settings import Settings, load
from db.enums import DeliveryChannel
from notifiers.notice import Channel, Notice, Unavailable


class Wire(Channel):
    def __init__(self, port: int) -> None:
        self._port = port

    async def send(self, notice: Notice) -> str:
        assert notice.ticket is not None
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            told = {"to": notice.recipient, "subject": notice.ticket.subject, "text": notice.ticket.description}
            writer.write(orjson.dumps(told) + b"\n")
            answer = (await reader.readline()).decode().strip()
        finally:
            writer.close()
        if not answer:
            raise Unavailable("The line was dropped.")
        return answer


def channels(settings: Settings) -> notices.Channels:
    return {DeliveryChannel.EMAIL: Wire(int(os.environ["BENCH_SINK_PORT"]))}


def main() -> None:
    settings = load(port=next((int(given.removeprefix("--port=")) for given in sys.argv if "--port=" in given), None))
    if sys.argv[1] == "serve":
        app = create_app(settings, channels)
        uvicorn.run(app, host=settings.host, port=settings.port, loop="uvloop", log_config=None, access_log=False)
    else:
        logs.configure(settings)
        assert settings.database_url is not None
        asyncio.run(notices.notify(settings, settings.database_url, channels))


if __name__ == "__main__":
    main()
