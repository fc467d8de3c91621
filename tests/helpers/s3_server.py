"""A server that speaks S3's protocol: moto's, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import httpx

from tests.helpers.process import free_port

START_SECONDS = 60.0


@contextmanager
def s3_server(bucket: str) -> Iterator[str]:
    """Runs the server for the length of the block, with a bucket. The environment has its address and credentials, as
    that of Callout would. Yields the bucket's URL."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    endpoint = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    given = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
    }
    try:
        _make(f"{endpoint}/{bucket}", process)
        with mock.patch.dict(os.environ, given):
            yield f"s3://{bucket}"
    finally:
        process.kill()
        process.wait()


def _make(url: str, process: subprocess.Popen[bytes]) -> None:
    """Makes the bucket, as soon as the server answers."""
    deadline = time.monotonic() + START_SECONDS
    with httpx.Client(trust_env=False, verify=False) as client:
        while process.poll() is None and time.monotonic() < deadline:
            try:
                assert client.put(url).is_success
                return
            except httpx.TransportError:
                time.sleep(0.1)
    raise AssertionError("the server has not started")
