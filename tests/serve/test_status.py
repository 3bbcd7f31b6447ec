"""What the server tells about itself."""

import httpx2


def test_metrics_health_readiness_and_documentation(serve, client):
    address, service = serve()
    client(address).audio.speech.create(model="x", voice="anna", input="Hello.")
    metrics = httpx2.get(f"http://{address}/metrics").text
    assert 'cosy_jax_requests_total{result="ok"} 1.0' in metrics
    assert 'cosy_jax_first_audio_seconds_bucket{le="+Inf"}' in metrics
    assert httpx2.get(f"http://{address}/health").json() == {"status": "ok"}
    answer = httpx2.get(f"http://{address}/ready")
    assert answer.status_code == 200 and answer.json() == {"status": "ready"}
    service.ready = False
    service.compiled(3, 40)
    answer = httpx2.get(f"http://{address}/ready")
    assert answer.status_code == 503 and answer.json() == {"status": "warming", "programs": 3, "of": 40}
    docs = httpx2.get(f"http://{address}/docs").text
    assert "/v1/audio/speech" in docs and "https://" not in docs
