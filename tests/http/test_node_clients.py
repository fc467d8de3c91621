"""Apollo Client and urql under Node: their persisted queries, and Apollo's batches. `make test-node` runs this test,
and installs the clients."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from pathlib import Path

import pytest

from tests.helpers.api import Api
from tests.helpers.paths import ROOT

MODULES = Path(sys.prefix) / "node" / "node_modules"
CLIENTS = ROOT / "tests" / "node" / "clients.mjs"

pytestmark = pytest.mark.skipif(
    shutil.which("node") is None or not (MODULES / "@urql" / "exchange-persisted").exists(),
    reason="needs Node and the clients that `make test-node` installs",
)

POSTED = ["POST hash", "POST document", "POST hash"]
GOT = ["GET hash", "POST document", "GET hash"]


async def test_persisted_queries_and_batches_of_real_clients_work(api: Api, tmp_path: Path) -> None:
    (tmp_path / "node_modules").symlink_to(MODULES)
    script = shutil.copy(CLIENTS, tmp_path)
    token = api.http.headers["authorization"].removeprefix("Bearer ")
    options = json.dumps({"url": f"{api.server.url}/graphql", "token": token})
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec("node", script, options, stdout=pipe, stderr=pipe)
    printed, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    twice = ["ADMIN", "ADMIN"]
    assert json.loads(printed) == {
        "apollo": {"got": twice, "sent": POSTED},
        "apolloByGet": {"got": twice, "sent": GOT},
        "batched": {"got": ["ADMIN"] * 3, "sent": ["POST document"]},
        "urql": {"got": twice, "sent": POSTED},
        "urqlByGet": {"got": twice, "sent": ["GET hash", "GET document", "GET hash"]},
    }
