"""A hub on the loopback interface, and both clients pointed at it."""

import huggingface_hub.constants
import modelscope_hub._legacy_api
import modelscope_hub.config
import numpy as np
import pytest

from cosy_jax.conversions.release_files import SETTINGS_FILES
from cosy_jax.conversions.rules import STAGE_RULES
from cosy_jax.hub import load
from cosy_jax.hub.hugging_face import HuggingFace
from cosy_jax.hub.model_scope import ModelScope
from tests.hub.loopback import TOKEN, hub_of


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """A release by the names of its files alone, for where nothing is converted."""
    folder = tmp_path_factory.mktemp("hub")
    (folder / "CosyVoice-BlankEN").mkdir()
    names = [rules.files[0] for rules in STAGE_RULES.values()]
    for seed, name in enumerate((*names, *SETTINGS_FILES)):
        (folder / name).write_bytes(np.random.default_rng(seed).bytes(200_000 if name == "flow.pt" else 5000))
    return folder


@pytest.fixture(autouse=True)
def no_home_and_no_waits(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "MODELSCOPE_API_TOKEN", "COSY_JAX_WEIGHTS", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(load, "WAITS", (0.0, 0.0, 0.0))
    # Read from the environment when it was imported: how often the client asks for a listing, seconds apart.
    monkeypatch.setattr(modelscope_hub._legacy_api, "REPO_TREE_PAGE_MAX_ATTEMPTS", 1)


@pytest.fixture
def point_at(monkeypatch):
    """As HF_ENDPOINT and MODELSCOPE_ENDPOINT do, which the clients read when they are imported or first used."""

    def point(address: str) -> None:
        constants = huggingface_hub.constants
        template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, address)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "ENDPOINT", address)
        monkeypatch.setenv("MODELSCOPE_ENDPOINT", address)
        monkeypatch.setattr(modelscope_hub.config, "_default_config", None)

    return point


@pytest.fixture
def loopback(files, point_at):
    """The hub, its faults and its log."""
    with hub_of(files) as (hub, address):
        point_at(address)
        yield hub


@pytest.fixture(params=[HuggingFace, ModelScope], ids=["huggingface", "modelscope"])
def client(request, loopback):
    return request.param()


@pytest.fixture
def token(monkeypatch):
    """One for both hubs in the environment, before a client is made."""
    for name in ("HF_TOKEN", "MODELSCOPE_API_TOKEN"):
        monkeypatch.setenv(name, TOKEN)
    return TOKEN
