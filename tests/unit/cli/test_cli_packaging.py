"""What ships beside the package: the systemd unit and the container. They name only what exists."""

from __future__ import annotations

import configparser
import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from hausgeist.cli.entry import build
from hausgeist.settings import Settings

ROOT = Path(__file__).parents[3]
UNIT = ROOT / "packaging" / "systemd" / "hausgeist.service"
CONTAINERFILE = ROOT / "packaging" / "container" / "Containerfile"
COMPOSE = ROOT / "packaging" / "container" / "compose.yaml"


def known_variables() -> set[str]:
    return {f"HAUSGEIST_{name.upper()}" for name in Settings.model_fields}


def commands() -> dict[str, Any]:
    return dict(typer.main.get_command(build()).commands)  # type: ignore[attr-defined]


def unit() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(UNIT.read_text())
    return parser


def test_the_unit_is_one() -> None:
    service = unit()["Service"]
    program, command, *rest = shlex.split(service["ExecStart"])
    assert (Path(program).name, rest) == ("hausgeist", [])
    assert command in commands()
    assert {entry.partition("=")[0] for entry in service["Environment"].split()} <= known_variables()
    assert service["User"] != "root"
    assert float(service["TimeoutStopSec"]) > Settings.model_fields["drain"].default
    for name in ("NoNewPrivileges", "PrivateTmp", "LockPersonality"):
        assert service[name] == "yes"


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd here")
def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    copy = tmp_path / "hausgeist.service"
    copy.write_text(re.sub(r"^ExecStart=\S+", f"ExecStart={sys.executable}", UNIT.read_text(), flags=re.MULTILINE))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(copy)], capture_output=True, text=True, check=False, timeout=30)
    said = [line for line in (done.stdout + done.stderr).splitlines() if "hausgeist" in line]
    assert said == []


def instructions() -> list[tuple[str, str]]:
    text = re.sub(r"\\\n", " ", "\n".join(line for line in CONTAINERFILE.read_text().splitlines() if not line.startswith("#")))
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in text.splitlines() if line.strip())]


def test_the_container() -> None:
    found = instructions()
    last = dict(found)
    for word, rest in found:
        if word == "COPY" and not rest.startswith("--from"):
            for source in rest.split()[:-1]:
                assert (ROOT / source).exists(), source
    user = last["USER"].split(":")[0]
    assert user not in {"0", "root"}
    environment = dict(part.split("=", 1) for word, rest in found if word == "ENV" for part in rest.split())
    assert {name for name in environment if name.startswith("HAUSGEIST_")} <= known_variables()
    assert last["VOLUME"] == environment["HAUSGEIST_HOME"]
    assert last["EXPOSE"] == environment["HAUSGEIST_PORT"]
    assert yaml.safe_load(last["ENTRYPOINT"]) == ["hausgeist"]
    assert yaml.safe_load(last["CMD"])[0] in commands()
    health = yaml.safe_load(last["HEALTHCHECK"].partition("CMD ")[2])
    assert health[:2] == ["python", "-m"]
    assert importlib.util.find_spec(health[2]) is not None


def test_compose() -> None:
    service = yaml.safe_load(COMPOSE.read_text())["services"]["hausgeist"]
    assert set(service["environment"]) <= known_variables()
    assert (COMPOSE.parent / service["build"]["context"] / service["build"]["dockerfile"]).resolve() == CONTAINERFILE
    assert service["command"][0] in commands()
    assert service["cap_drop"] == ["ALL"]
