"""What a device is asked after it has been sent events, and what its answers confirm."""

from __future__ import annotations

import asyncio

import orjson
import pytest

from callout.live import device_streams
from callout.live.device_streams import UNCONFIRMED_MAX, DeviceStream


class Asked:
    """A device's stream, the pings that it has been sent, and what it has confirmed."""

    def __init__(self) -> None:
        self.pings: list[int] = []
        self.confirmed: list[str] = []
        self.stream = DeviceStream(self._ask, self.confirmed.append)

    def _ask(self, message: bytes) -> None:
        ping = orjson.loads(message)
        assert ping["type"] == "ping"
        self.pings.append(ping["payload"]["received"])

    async def asked(self, number: int) -> None:
        async with asyncio.timeout(10):
            while len(self.pings) < number:  # noqa: ASYNC110 (there is no event to wait for)
                await asyncio.sleep(0.001)


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Asked:
    monkeypatch.setattr(device_streams, "ASKING_SECONDS", 0.005)
    return Asked()


async def test_one_ping_asks_about_several_events(device: Asked) -> None:
    for event in "abc":
        device.stream.delivered(event)
    await device.asked(1)
    device.stream.delivered("d")
    await device.asked(2)
    assert (device.pings, device.confirmed) == ([1, 2], [])
    device.stream.answered({"received": 1})
    assert device.confirmed == ["a", "b", "c"]
    device.stream.answered({"received": 2})
    assert device.confirmed == ["a", "b", "c", "d"]


async def test_an_event_after_the_ping_is_not_confirmed_by_its_pong(device: Asked) -> None:
    device.stream.delivered("a")
    await device.asked(1)
    device.stream.delivered("b")
    device.stream.answered({"received": 1})
    assert device.confirmed == ["a"]


async def test_a_later_pong_confirms_what_came_before(device: Asked) -> None:
    for event in "ab":
        device.stream.delivered(event)
        await device.asked(len(device.confirmed) + len(device.pings) + 1)
    device.stream.answered({"received": 2})
    device.stream.answered({"received": 1})
    assert device.confirmed == ["a", "b"]


@pytest.mark.parametrize(
    "answer", [{}, {"received": 0}, {"received": -1}, {"received": 2}, {"received": None}, {"received": "1"}]
)
async def test_a_pong_that_answers_no_ping_confirms_nothing(device: Asked, answer: dict[str, object]) -> None:
    device.stream.delivered("a")
    device.stream.answered({"received": 1})  # before the ping
    await device.asked(1)
    device.stream.answered(answer)
    assert device.confirmed == []


async def test_what_a_silent_device_has_not_confirmed_is_bounded(device: Asked) -> None:
    for number in range(UNCONFIRMED_MAX + 5):
        device.stream.delivered(str(number))
    await device.asked(1)
    device.stream.answered({"received": 1})
    assert device.confirmed == [str(number) for number in range(5, UNCONFIRMED_MAX + 5)]


async def test_a_socket_that_has_ended_asks_nothing(device: Asked) -> None:
    device.stream.delivered("a")
    device.stream.end()
    await asyncio.sleep(0.02)
    assert device.pings == []
