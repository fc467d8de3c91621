"""Resumable uploads of attached files, by the tus protocol."""

from __future__ import annotations

import os

from tests.helpers.api import Api
from tests.helpers.attached_files import announce, ask, patch, reached, url_of

MIB = 2**20


async def test_a_file_that_was_uploaded_in_parts_can_be_downloaded(api: Api) -> None:
    data = os.urandom(3 * MIB + 17)
    attachment, url = await announce(api, data, ticketId=await api.new_ticket(), name="Panel (vorne) ü.jpg")
    assert await reached(api, url) == 0
    for start in range(0, len(data), MIB + 5):
        response = await patch(api, url, start, data[start : start + MIB + 5])
        assert response.status_code == 204
        assert response.headers["tus-resumable"] == "1.0.0"
    assert response.headers["upload-offset"] == str(len(data)) == str(await reached(api, url))
    got = await ask(api, "GET", await url_of(api, attachment))
    assert got.status_code == 200
    assert got.content == data
