"""The whole contract suite of the tongues and engines, offline, in a network namespace without a route, under strace: nothing leaves."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.acceptance.support import ROOT
from tests.acceptance.test_offline import traced


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_the_contract_suite(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pytest", str(ROOT / "tests" / "contract"), "-p", "no:cacheprovider", "--timeout=600", "--rootdir", str(ROOT)]
    # These ask for what offline refuses, also of a server on loopback; that it is refused is tests/acceptance/test_offline.py's.
    contract = ROOT / "tests" / "contract"
    command += [f"--ignore={contract / 'test_ollama_pull.py'}", "-k", "not test_what_cannot_be_created and not test_images_elsewhere"]
    ended, seen = traced(tmp_path, *command, "-c", str(ROOT / "pyproject.toml"), seconds=1500, HAUSGEIST_OFFLINE="1")
    assert "127.0.0.1" in seen.text
    assert seen.outside == []
    assert ended.returncode == 0, ended.stdout[-5000:]
    found = re.search(r"(\d+) passed", ended.stdout)
    print(f"\n{found[0] if found else ended.stdout[-200:]} without a network; {seen.text.count('connect(')} connections, all of them to loopback")
