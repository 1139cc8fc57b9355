"""Chaos takes minutes and whole cores: it runs where it is asked for (`make chaos`), not else."""

from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leaves the room out unless the command line names it or a file in it."""
    start = config.invocation_params.dir
    named = (
        (start / str(argument).partition("::")[0]).resolve()
        for argument in config.invocation_params.args
        if not str(argument).startswith("-")
    )
    if any(path == HERE or HERE in path.parents for path in named):
        return None
    return True if HERE in (collection_path, *collection_path.parents) else None
