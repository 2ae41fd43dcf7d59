"""What /house/v1/models tells to whom."""

from __future__ import annotations

from pathlib import Path

import httpx

from tests.contract.conftest import Live


def source_of_tiny(live: Live, key: str = "") -> str:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    answer = httpx.get(f"{live.url}/house/v1/models", headers=headers, timeout=60)
    assert answer.status_code == 200
    return str(next(one["source"] for one in answer.json()["data"] if one["id"] == "tiny"))


def test_where_files_lie_is_for_owners(live: Live, specimens: dict[str, Path]) -> None:
    assert source_of_tiny(live) == str(specimens["tiny"])
    for role in ("reader", "member", "owner"):  # of a project, which is not the server
        _, key = live.run(live.app.workspace.create_key(project="default", name=role, role=role))
        assert source_of_tiny(live, key) == "tiny.gguf"
