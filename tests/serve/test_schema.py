"""What the interface's description promises, asked by schemathesis: odd and broken requests of its own making."""

import re
import shutil
import subprocess
import sys

import httpx2
import pytest

from tests.serve.process import serving, wait_for

pytestmark = pytest.mark.slow
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
CASES = 12  # made up for each operation, beside those of the bounds of its fields
_LONGEST = 900  # seconds, beside other work; alone about one minute


def test_no_request_is_a_failure_of_the_server(saved, tmp_path):
    folder = tmp_path / "voices"
    shutil.copytree(saved, folder)
    shutil.copy(folder / "anna.safetensors", folder / "0.safetensors")  # the name that is asked for first
    with serving(folder) as server:
        command = [sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/openapi.json"]
        options = ["--checks", CHECKS, "--max-examples", str(CASES), "--generation-deterministic", "--no-color"]
        found = subprocess.run(
            [*command, *options, "--continue-on-failure", "--request-timeout", "120"],
            cwd=tmp_path,  # it keeps a folder of its own
            capture_output=True,
            text=True,
            timeout=_LONGEST,
        )
        assert found.returncode == 0, found.stdout + found.stderr + server.log[-5000:]
        made, passed = map(int, re.search(r"(\d+) generated, (\d+) passed", found.stdout).groups())
        assert passed == made > 300
        assert server.metric('requests_total{result="failed"}') == 0
        wait_for(lambda: server.metric("active") == 0)
        assert {"anna", "ben"} <= {voice["id"] for voice in httpx2.get(f"{server.url}/v1/audio/voices").json()["data"]}
