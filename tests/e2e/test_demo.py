"""The tour ends by itself, keeps its claims, and says so to machines too."""

import json
from pathlib import Path

from tests.e2e.running import run


async def test_the_demo_keeps_its_claims(tmp_path: Path) -> None:
    status, said = await run("demo", cwd=tmp_path, JSON="1")
    assert status == 0, said
    figures = {one["name"]: one for one in map(json.loads, said.splitlines())}
    for one in figures.values():
        assert one.keys() == {"name", "value", "unit", "goal", "met", "how"}
        assert (one["goal"] is None) == (one["met"] is None)
    assert figures["demo_claims_kept"]["value"] == 1
    assert figures["demo_claims_kept"]["met"] is True
    assert figures["demo_book_differences"]["value"] == 0
    # A tour that claims little keeps it easily.
    assert "38 claims" in figures["demo_claims_kept"]["how"]
