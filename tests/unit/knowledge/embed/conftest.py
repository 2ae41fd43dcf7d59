"""The model is made once for all tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from hausgeist.knowledge.embed.prepared import model_file


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    model_file(folder)
    return folder
