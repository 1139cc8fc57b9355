"""Committed generated code is what the contract generates today."""

import subprocess
import sys

from tests.house.sources import ROOT


def test_generated_code_is_current() -> None:
    generator = ROOT / "scripts/gen.py"
    assert generator.is_file(), "scripts/gen.py is missing, so nothing holds src/turnout/v1"
    run = subprocess.run(
        [sys.executable, str(generator), "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert run.returncode == 0, f"run `make gen`:\n{run.stdout}{run.stderr}"
