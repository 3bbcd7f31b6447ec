"""Servers and clients for the tests."""

import contextlib
import shutil
from dataclasses import replace

import openai
import pytest

from cosy_jax.synthesis.synthesizer import Synthesizer
from cosy_jax.synthesis.voices import save_voice
from tests.conftest import TINY
from tests.engine.simulated import voice
from tests.serve.tone import make_service, running


@pytest.fixture(scope="session")
def saved(tmp_path_factory):
    """A folder with the voices anna and ben."""
    folder = tmp_path_factory.mktemp("voices")
    synthesizer = Synthesizer(TINY, voices=folder)
    for seed, name in enumerate(("anna", "ben")):
        save_voice(folder, name, replace(voice(30, seed), encoders=synthesizer.encoders), synthesizer.config)
    return folder


@pytest.fixture
def serve(saved, tmp_path):
    """Starts a server: `serve(engine, **settings)` gives its address and its service."""
    folder = tmp_path / "voices"
    shutil.copytree(saved, folder)
    open_servers = []

    def start(engine=None, **settings):
        service = make_service(Synthesizer(TINY, voices=folder), engine, **settings)
        server = running(service)
        open_servers.append(server)
        return server.__enter__(), service

    yield start
    for server in open_servers:
        server.__exit__(None, None, None)


@pytest.fixture
def client():
    """OpenAI's client of a server: `client(address, key)`."""
    with contextlib.ExitStack() as stack:

        def make(address, key="none"):
            return stack.enter_context(openai.OpenAI(base_url=f"http://{address}/v1", api_key=key))

        yield make
