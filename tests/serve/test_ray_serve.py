"""The server in replicas on Ray."""

import os
import signal
import socket
import subprocess
import sys

import httpx2
import pytest

from tests.conftest import TINY
from tests.reference import REPOSITORY

pytestmark = pytest.mark.slow


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as made:
        return made.getsockname()[1]


def test_a_replica_answers_and_ends(saved):
    port = free_port()
    command = [sys.executable, "deploy/ray_serve.py", "--weights", TINY, "--voices", saved, "--port", port]
    environment = {"COSY_JAX_CACHE": str(REPOSITORY / ".pytest_cache" / "xla"), "RAY_worker_niceness": "0"}
    with subprocess.Popen(
        [*map(str, command), "--streams", "1", "--replicas", "1", "1"],
        cwd=REPOSITORY,
        env=os.environ | environment | {"PYTHONPATH": str(REPOSITORY), "RAY_ADDRESS": "local"},
        stdout=subprocess.PIPE,
        text=True,
    ) as running:
        try:
            assert any("listening" in line for line in running.stdout), running.wait()
            address = f"http://127.0.0.1:{port}"
            assert httpx2.get(f"{address}/ready", timeout=60).status_code == 200
            body = {"input": "Good.", "voice": "anna", "response_format": "wav"}
            spoken = httpx2.post(f"{address}/v1/audio/speech", json=body, timeout=300)
            assert spoken.status_code == 200 and spoken.content.startswith(b"RIFF") and len(spoken.content) > 1000
            foreign = httpx2.get(f"{address}/v1/models", headers={"origin": "https://elsewhere.example"}, timeout=60)
            assert foreign.status_code == 403
            running.send_signal(signal.SIGTERM)
            assert running.wait(timeout=120) == 0
        finally:
            running.kill()
