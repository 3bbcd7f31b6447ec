"""The command, from a name to weights that speak, and the ways in which it ends before."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from cosy_jax.cli import main
from cosy_jax.cli.weights import find_weights
from cosy_jax.conversions.release_files import release_files
from cosy_jax.hub.names import kept_in
from tests.conversions.release import write_release
from tests.hub.loopback import SIGNED, hub_of
from tests.reference import REPOSITORY as CHECKOUT

NAME = "Fun-CosyVoice3-0.5B"
UNREAD = {"README.md", "flow.decoder.estimator.fp32.onnx", "CosyVoice-BlankEN/model.safetensors"}


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """A release that converts, with files that no conversion reads."""
    folder = tmp_path_factory.mktemp("release") / "model"
    write_release(folder)
    for name in UNREAD:
        (folder / name).write_bytes(b"not to be downloaded")
    return folder


@pytest.fixture
def release_hub(release, point_at):
    """As `loopback`, with a release that converts."""
    with hub_of(release) as (hub, address):
        point_at(address)
        yield hub


@pytest.fixture
def out(tmp_path):
    return tmp_path / "weights" / "model"


@pytest.fixture
def source(out):
    return out.with_name("model.source")


def refusal(capsys):
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("cosy-jax: ")
    return lines[-1]


def test_a_stranger_downloads_and_nothing_is_left_but_weights(token, release_hub, release, capsys):
    assert main(["download", NAME]) == 0
    folder = kept_in(NAME)
    told = capsys.readouterr()
    assert told.out.endswith(f"to speak with it: --weights {NAME}\n") and str(folder) in told.out
    assert token not in told.out + told.err and SIGNED not in told.out + told.err
    wanted = set(release_hub.paths) - UNREAD
    assert release_hub.asked() == dict.fromkeys(wanted, 1) and os.listdir(folder.parent) == [folder.name]
    manifest = json.loads((folder / "config.json").read_text())
    assert manifest["sources"].keys() == wanted
    assert manifest["sources"]["flow.pt"]["bytes"] == (release / "flow.pt").stat().st_size
    assert find_weights(NAME) == str(folder) and main(["info", NAME, "--verify"]) == 0
    assert main(["info"]) == 0 and NAME in capsys.readouterr().out

    release_hub.log.clear()
    assert main(["download", NAME]) == 0
    assert "is there already, made of the same files" in capsys.readouterr().out and not release_hub.log


@pytest.mark.slow
def test_released_files_are_kept_on_request_and_used_again(release_hub, release, out, source, capsys):
    words = ["download", NAME, str(out), "--from", "modelscope"]
    assert main([*words, "--keep-source", "--revision", "v1"]) == 0
    assert f"released files: {source}" in capsys.readouterr().out
    for path in set(release_hub.paths) - UNREAD:
        assert (source / path).read_bytes() == (release / path).read_bytes()
    release_hub.log.clear()
    assert main([*words, "--dtype", "bfloat16"]) == 0
    assert json.loads((out / "config.json").read_text())["dtype"] == "bfloat16"
    assert not release_hub.log and os.listdir(out.parent) == ["model"]


@pytest.mark.slow
@pytest.mark.parametrize("hub", ["huggingface", "modelscope"])
def test_a_download_that_broke_off_goes_on(hub, release_hub, out, source, capsys):
    release_hub.faults.cuts["hift.pt"] = [150_000, *[0] * 10]
    words = ["download", NAME, str(out), "--from", hub]
    assert main(words) == 2
    sentence = refusal(capsys)
    assert "broke off at" in sentence and f"stays in {source}, and the same command goes on." in sentence
    assert not out.exists() and (source / "flow.pt").is_file() and (source / "hift.pt.part").is_file()
    release_hub.faults.cuts.clear()
    release_hub.log.clear()
    assert main(words) == 0 and os.listdir(out.parent) == ["model"]
    assert "flow.pt" not in release_hub.asked()
    assert [first > 0 for path, first, _ in release_hub.log if path == "hift.pt"] == [True]


def test_ctrl_c_says_what_stays(loopback, out, source, capsys, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("cosy_jax.hub.download.convert", interrupted)
    assert main(["download", NAME, str(out)]) == 130
    assert refusal(capsys) == (
        f"cosy-jax: interrupted; what was downloaded stays in {source}, and the same command goes on."
    )
    assert not out.exists() and (source / "flow.pt").is_file()


def test_no_release_of_ours(loopback, out, capsys):
    for name in ("flow.pt", "cosyvoice3.yaml", "llm.pt", "llm.rl.pt"):
        loopback.paths.remove(name)
    assert main(["download", NAME, str(out)]) == 2
    assert "is no CosyVoice 3 release: it lacks llm.pt, flow.pt, cosyvoice3.yaml." in refusal(capsys)
    assert not out.parent.exists() and not loopback.log


def test_a_model_that_does_not_convert(loopback, out, source, capsys):
    """The hub's digests are right, what they are of is not."""
    assert main(["download", NAME, str(out)]) == 2
    assert "llm.pt" in (sentence := refusal(capsys)) and f"stays in {source}" in sentence
    assert not out.exists() and source.is_dir()


def test_hub_names_lead_nowhere(loopback, out, tmp_path):
    """A listing may hold anything: only the names of a release's files are asked for."""
    evil = [f"../{'x/../' * n}evil.pt" for n in range(3)] + ["/etc/passwd", "CosyVoice-BlankEN/../../evil"]
    listing = json.loads(loopback.hugging_face())
    listing["siblings"] += [{**listing["siblings"][0], "rfilename": name} for name in evil]
    loopback.faults.listing = json.dumps(listing).encode()
    loopback.faults.statuses["hift.pt"] = [403]
    assert main(["download", NAME, str(out)]) == 2
    assert set(loopback.asked()) <= set(loopback.paths)
    assert sorted(os.listdir(tmp_path)) == ["weights"] and os.listdir(out.parent) == ["model.source"]


def test_a_folder_of_somebody_else_is_left(loopback, out, source, capsys):
    source.mkdir(parents=True)
    (source / "notes.txt").write_text("mine")
    assert main(["download", NAME, str(out)]) == 2
    assert "holds files that no download has written" in refusal(capsys)
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    assert main(["download", NAME, str(out)]) == 2
    assert "holds files that are no converted model" in refusal(capsys)
    assert os.listdir(source) == os.listdir(out) == ["notes.txt"] and not loopback.log


def test_two_downloads_to_one_place(loopback, out, source, capsys):
    source.mkdir(parents=True)
    with (source / "cosy_jax.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert main(["download", NAME, str(out)]) == 2
    assert f"Another download to {source} goes on" in refusal(capsys) and not loopback.log


def test_no_room_is_said_before_anything_comes(loopback, out, capsys, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: shutil._ntuple_diskusage(10**6, 10**6 - 100_000, 100_000))
    assert main(["download", NAME, str(out)]) == 2
    assert "has room for 0.1 MB, and 0.2 MB are to come: make room" in refusal(capsys) and not loopback.log


@pytest.mark.parametrize("hub", ["huggingface", "modelscope"])
def test_no_network(hub, point_at, out, capsys):
    point_at("http://127.0.0.1:9")
    assert main(["download", NAME, str(out), "--from", hub]) == 2
    assert "cannot be reached (no connection): check the network" in refusal(capsys) and not out.parent.exists()


def test_files_of_a_release():
    paths = {"llm.safetensors", "llm.pt", "flow.safetensors", "hift.pt", "campplus.onnx", "cosyvoice3.yaml"}
    found, missing = release_files(paths.__contains__)
    assert found == ["llm.pt", "flow.safetensors", "hift.pt", "campplus.onnx", "cosyvoice3.yaml"]
    assert missing[0] == "speech_tokenizer_v3.onnx" and "CosyVoice-BlankEN/vocab.json" in missing


def test_nothing_of_hubs_is_imported_unless_asked_for():
    code = """
import sys
from cosy_jax.cli import main
from cosy_jax.cli.command_line import build_parser
build_parser()
assert main(["info"]) == 0
hubs = {"huggingface_hub", "modelscope_hub", "httpx2", "requests", "tqdm"}
print(sorted(hubs & sys.modules.keys()), file=sys.stderr)
print([name for name in sys.modules if name.startswith("cosy_jax.hub.")], file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True)
    assert done.stderr == "[]\n['cosy_jax.hub.names']\n"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_process_is_gone_on_with(number, release_hub, out, source, tmp_path):
    """As a user has it: a process of its own, endpoints from the environment; it is killed while a file is coming."""
    import huggingface_hub.constants

    address = huggingface_hub.constants.ENDPOINT
    environment = {**os.environ, "HF_ENDPOINT": address, "JAX_PLATFORMS": "cpu", "HF_HUB_DISABLE_TELEMETRY": "1"}
    command = [sys.executable, "-m", "cosy_jax", "download", NAME, str(out)]
    release_hub.faults.cuts["hift.pt"] = [1000] + [0] * 100  # the process waits for a second, then two
    process = subprocess.Popen(command, cwd=CHECKOUT, env=environment, stderr=subprocess.DEVNULL)
    while release_hub.asked()["hift.pt"] < 2 and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(number)
    assert process.wait() in (-signal.SIGKILL, 143)
    assert (source / "flow.pt").is_file() and (source / "hift.pt.part").stat().st_size == 1000
    release_hub.faults.cuts.clear()
    release_hub.log.clear()
    done = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert os.listdir(out.parent) == ["model"] and release_hub.log[0][:2] == ("hift.pt", 1000)
