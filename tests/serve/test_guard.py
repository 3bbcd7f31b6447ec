"""Who is let in, with how much."""

import contextlib

import httpx2
import openai
import pytest

from cosy_jax.errors import CosyError
from cosy_jax.serve.settings import ServeSettings, read_keys
from tests.serve.tone import KEY


def test_bodies_are_bounded_whatever_they_say(serve):
    address, _ = serve(largest_body=1 << 20)
    url = f"http://{address}/v1/audio/speech"
    assert httpx2.post(url, content=b"x" * (2 << 20)).status_code == 413

    def endless():
        for _ in range(100):
            yield b"x" * (1 << 16)

    with contextlib.suppress(httpx2.TransportError):  # it was cut off while it still sent
        assert httpx2.post(url, content=endless()).status_code == 413


def test_keys_are_asked_for_everywhere_but_where_health_is(serve, client):
    address, _ = serve(keys=(KEY,))
    assert httpx2.get(f"http://{address}/health").status_code == 200
    for path in ("/v1/models", "/v1/audio/voices", "/metrics", "/docs", "/openapi.json"):
        refused = httpx2.get(f"http://{address}{path}")
        assert refused.status_code == 401 and refused.json()["error"]["code"] == "invalid_api_key"
        assert httpx2.get(f"http://{address}{path}", headers={"authorization": f"Bearer {KEY}"}).status_code == 200
    with pytest.raises(openai.AuthenticationError):
        client(address, key="wrong").models.list()
    assert [model.id for model in client(address, key=KEY).models.list()] == ["cosy_jax"]


def test_other_sites_cannot_use_a_browser_to_get_in(serve):
    address, _ = serve()
    url = f"http://{address}/v1/audio/voices"
    assert httpx2.get(url, headers={"origin": "https://evil.example"}).status_code == 403
    assert httpx2.get(url, headers={"host": "evil.example"}).status_code == 403
    assert httpx2.get(url, headers={"origin": f"http://{address}"}).status_code == 200


def test_settings_demand_keys_where_others_can_reach_the_server(tmp_path):
    with pytest.raises(CosyError, match="--api-key-file"):
        ServeSettings(host="0.0.0.0")
    with pytest.raises(CosyError, match="easy to guess"):
        ServeSettings(keys=("short",))
    path = tmp_path / "keys"
    path.write_text(f"# of the team\n\n{KEY}\n")
    assert ServeSettings(host="0.0.0.0", keys=read_keys(path)).keys == (KEY,)
    path.write_text("\n")
    with pytest.raises(CosyError, match="no key"):
        read_keys(path)
