"""examples/follow.sh: server-sent events with curl alone."""

from __future__ import annotations

import asyncio
import os
import shutil
from typing import Any
from urllib.parse import urlsplit

import orjson
import pytest

from tests.helpers.api import Api
from tests.helpers.graphql_ws_client import WITHIN
from tests.helpers.paths import ROOT

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")


async def next_message(lines: asyncio.StreamReader) -> Any:
    async for line in lines:
        if line.startswith(b"data: {"):
            return orjson.loads(line.removeprefix(b"data: "))["data"]["ticketChanged"]
    raise AssertionError("the response has ended")


async def test_curl_continues_from_the_last_cursor(api: Api) -> None:
    environment = {
        "ADMIN_TOKEN": api.http.headers["authorization"].removeprefix("Bearer "),
        "CALLOUT_PORT": str(urlsplit(api.server.url).port),
    }

    async def first_messages(count: int, *cursor: str) -> list[Any]:
        program = await asyncio.create_subprocess_exec(
            *("sh", str(ROOT / "examples" / "follow.sh"), *cursor),
            env=os.environ | environment,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        assert program.stdout is not None
        try:
            async with asyncio.timeout(WITHIN):
                return [await next_message(program.stdout) for _ in range(count)]
        finally:
            os.killpg(program.pid, 9)  # the shell, and curl below it
            await program.wait()

    (ready,) = await first_messages(1)
    created = await api.new_ticket()
    entered, _ = await first_messages(2, ready["cursor"])
    assert (entered["change"], entered["ticketId"], entered["ticket"]["status"]) == ("ENTERED", created, "OPEN")
