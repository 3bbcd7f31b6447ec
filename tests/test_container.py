"""Dockerfile and compose.yaml agree with the package; no container engine is needed to see that."""

import json
import re
import shlex
import tomllib

import pytest
import yaml

from cosy_jax.cli.command_line import build_parser
from tests.reference import REPOSITORY

STEPS = re.sub(r"\\\n\s*", "", (REPOSITORY / "Dockerfile").read_text()).splitlines()
COMPOSE = yaml.safe_load((REPOSITORY / "compose.yaml").read_text())


def steps(kind):
    return [line.partition(" ")[2] for line in STEPS if line.startswith(f"{kind} ")]


def stages():
    return {stage.partition(" AS ")[2]: stage.partition(" AS ")[0] for stage in steps("FROM")}


def test_each_stage_installs_extras_that_there_are():
    extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    installed = [set(re.search(r"/src\[(.+?)\]", step)[1].split(",")) for step in steps("RUN") if "/src[" in step]
    assert installed == [{"serve", "text"}, {"serve", "text", "cuda"}]
    assert set().union(*installed) <= extras.keys()


def test_what_is_built_from_is_there_and_let_through():
    ignored = (REPOSITORY / ".dockerignore").read_text().split()
    for step in steps("COPY"):
        *sources, _ = shlex.split(step)
        if sources[0].startswith("--from="):
            assert sources[0].removeprefix("--from=") in stages()
            continue
        for source in sources:
            assert (REPOSITORY / source).exists() and f"!{source}" in ignored
    assert ignored[0] == "*" and (REPOSITORY / "cosy_jax" / "conversions").resolve().name == "conversions"


def test_the_command_is_one_and_its_user_is_not_root():
    (entry,), (command,) = steps("ENTRYPOINT"), steps("CMD")
    assert json.loads(entry) == ["cosy-jax"]
    found = build_parser().parse_args(json.loads(command))
    assert (found.host, found.api_key_file) == ("0.0.0.0", "/run/secrets/keys")
    for target in ("cpu", "cuda"):
        last = "".join(STEPS).partition(f" AS {target}")[2].partition("FROM ")[0]
        assert last.endswith("USER cosy")


@pytest.mark.parametrize("name", ["cpu", "cuda"])
def test_services_build_stages_and_bring_what_the_command_wants(name):
    service = COMPOSE["services"][name]
    assert service["build"]["target"] in stages()
    assert service["secrets"] == ["keys"] and "keys" in COMPOSE["secrets"]
    mounted = {volume.rsplit(":", 2 if volume.endswith(":ro") else 1)[1] for volume in service["volumes"]}
    named = dict(each.split("=") for step in steps("ENV") for each in step.split() if "=" in each)
    assert {named[f"COSY_JAX_{what}"] for what in ("WEIGHTS", "VOICES", "CACHE")} == mounted
    assert service["ports"] == ["127.0.0.1:8000:8000"]
