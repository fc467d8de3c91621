"""The reverse proxies of `deploy/`, as they stand there, in front of a server: TLS, WebSockets, server-sent events, the
client's address, uploads, and a path prefix. `make test-proxies` runs these tests; they need nginx and Caddy."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import httpx
import pytest
import trustme
from websockets.exceptions import InvalidStatus

from tests.helpers.api import Api, Server
from tests.helpers.changed_history import until
from tests.helpers.graphql_ws_client import CHANGES, WITHIN, live
from tests.helpers.paths import ROOT
from tests.helpers.process import free_port
from tests.live.test_event_stream import JSON, Stream

Write = Callable[[Path, str, int, str], list[str]]
"""Writes a proxy's configuration into the directory, for this upstream, port and path prefix. Returns the command."""


def nginx(directory: Path, upstream: str, port: int, prefix: str) -> list[str]:
    example = (ROOT / "deploy" / "nginx.conf").read_text()
    changes = {
        "server 127.0.0.1:8000;": f"server {upstream};",
        "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
        "callout.example.com;": "localhost;",
        "/etc/letsencrypt/live/callout.example.com/fullchain.pem": str(directory / "certificate.pem"),
        "/etc/letsencrypt/live/callout.example.com/privkey.pem": str(directory / "key.pem"),
    }
    if prefix:
        changes |= {
            "location / {": f"location {prefix}/ {{",
            "proxy_pass http://callout;": "proxy_pass http://callout/;",
        }
    for before, after in changes.items():
        assert example.count(before) == 1, before
        example = example.replace(before, after)
    folders = "".join(
        f"{name}_temp_path {directory}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (directory / "nginx.conf").write_text(
        f"daemon off; pid {directory}/pid; error_log stderr; events {{}} http {{ access_log off; {folders} {example} }}"
    )
    return ["nginx", "-e", "stderr", "-c", str(directory / "nginx.conf")]


def caddy(directory: Path, upstream: str, port: int, prefix: str) -> list[str]:
    example = (ROOT / "deploy" / "Caddyfile").read_text()
    before = "\treverse_proxy {$UPSTREAM:127.0.0.1:8000} {"
    head, body = example.split(before)
    head += f"\ttls {directory}/certificate.pem {directory}/key.pem\n"
    if prefix:
        head, body = f"{head}\thandle_path {prefix}/* {{\n", f"{body}}}\n"
    options = "{\n\tadmin off\n\tgrace_period 1s\n\tskip_install_trust\n\tauto_https disable_redirects\n}\n"
    (directory / "Caddyfile").write_text(options + head + before + body)
    os.environ["SITE"] = f"https://localhost:{port}"
    os.environ["UPSTREAM"] = upstream
    return ["caddy", "run", "--adapter", "caddyfile", "--config", str(directory / "Caddyfile")]


PROXIES: dict[str, Write] = {"nginx": nginx, "caddy": caddy}


@contextmanager
def running(name: str, server: Server, directory: Path, prefix: str = "") -> Iterator[tuple[str, ssl.SSLContext]]:
    """Runs the proxy in front of the server. Yields the URL that clients use, and the context that trusts it."""
    if shutil.which(name) is None:
        pytest.skip(f"needs {name}")
    authority, port = trustme.CA(), free_port()
    certificate = authority.issue_cert("localhost")
    certificate.private_key_pem.write_to_path(directory / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(directory / "certificate.pem")
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    upstream = server.url.removeprefix("http://")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SITE", "")
        environment.setenv("UPSTREAM", "")
        command = PROXIES[name](directory, upstream, port, prefix)
        given = dict(os.environ) | {"HOME": str(directory), "XDG_DATA_HOME": str(directory)}
    with (directory / "log").open("wb") as log, subprocess.Popen(command, env=given, stdout=log, stderr=log) as proxy:
        try:
            deadline = time.monotonic() + WITHIN
            while not _listens(port):
                assert proxy.poll() is None and time.monotonic() < deadline, (directory / "log").read_text()
                time.sleep(0.05)
            yield f"https://localhost:{port}{prefix}", trusting
        finally:
            proxy.terminate()
            proxy.wait(WITHIN)


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def server_settings() -> dict[str, str]:
    return {"trusted_proxies": "127.0.0.1", "connections_per_address": "20"}


def through(api: Api, url: str, trusting: ssl.SSLContext) -> httpx.AsyncClient:
    headers = {"authorization": api.http.headers["authorization"]}
    return httpx.AsyncClient(base_url=url, headers=headers, verify=trusting, trust_env=False, timeout=WITHIN)


@pytest.mark.parametrize("prefix", ["", "/callout"])
@pytest.mark.parametrize("name", PROXIES)
async def test_everything_works_through_the_proxy(api: Api, tmp_path: Path, name: str, prefix: str) -> None:
    with running(name, api.server, tmp_path, prefix) as (url, trusting):
        async with through(api, url, trusting) as client:
            answer = await client.post("/graphql", json={"query": "{ me { role } }"})
            assert answer.json() == {"data": {"me": {"role": "ADMIN"}}}
            origin = url.removesuffix(prefix)
            async with (
                live(api, url, ssl=trusting, origin=origin) as screen,
                client.stream("POST", "/graphql/stream", json={"query": CHANGES}, headers=JSON) as response,
            ):
                events = Stream(response)
                assert (await events.next())["__typename"] == "StreamReady"
                await screen.subscribe("1", CHANGES)
                assert (await screen.next())["__typename"] == "StreamReady"
                ticket = await api.new_ticket()
                assert (await screen.next())["ticketId"] == ticket
                assert (await events.next())["ticketId"] == ticket
            with pytest.raises(InvalidStatus, match="403"):
                async with live(api, url, ssl=trusting, origin="https://evil.example"):
                    pass
            await _uploads(api, client, ticket)


async def _uploads(api: Api, client: httpx.AsyncClient, ticket: str) -> None:
    """A file of several mebibytes arrives, which nginx would refuse by its own default."""
    content = os.urandom(3 * 2**20)
    created = await api(
        """mutation($input: AttachmentCreateInput!) { attachmentCreate(input: $input) {
            uploadUrl userErrors { message } } }""",
        input={
            "ticketId": ticket,
            "name": "log.bin",
            "contentType": "application/octet-stream",
            "size": len(content),
            "sha256": sha256(content).hexdigest(),
        },
    )
    path = httpx.URL(created["attachmentCreate"]["uploadUrl"]).raw_path.decode()
    headers = {"tus-resumable": "1.0.0", "upload-offset": "0", "content-type": "application/offset+octet-stream"}
    sent = await client.patch(path, content=content, headers=headers)
    assert sent.status_code == 204, sent.text
    assert sent.headers["upload-offset"] == str(len(content))


@pytest.mark.parametrize("name", PROXIES)
async def test_the_address_of_the_client_is_logged_and_cannot_be_forged(api: Api, tmp_path: Path, name: str) -> None:
    with running(name, api.server, tmp_path) as (url, trusting):
        address = "127.0.0.2"  # not the proxy's own, which is trusted
        transport = httpx.AsyncHTTPTransport(verify=trusting, local_address=address)
        async with httpx.AsyncClient(transport=transport) as client:
            forged = {"x-forwarded-for": "203.0.113.7", "x-request-id": f"forged-{name}"}
            assert (await client.get(f"{url}/version", headers=forged)).status_code == 200
        await until(lambda: bool(_logged(api.server, forged["x-request-id"])))
        assert _logged(api.server, forged["x-request-id"]) == [address]


def _logged(server: Server, request_id: str) -> list[str]:
    return [line["client"] for line in server.process.records("callout.access") if line["requestId"] == request_id]
