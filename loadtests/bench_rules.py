"""What rules cost: a decision through Python against the same in plain Python, side by side.

The ratio is what can be compared between hosts; both sides run in one process, in turn.
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from loadtests.bench.figures import figure, tell

HOW = "10 accounts, 100 rules, a call from Python; CPU time, median of 20 rounds of 100 payments"


def main() -> int:
    """Measures and tells; the exit status is non-zero only where measuring failed."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "benchmark.json"
        said = io.StringIO()
        with redirect_stdout(said), redirect_stderr(said):
            code = pytest.main(
                [
                    str(Path(__file__).with_name("rules_side_by_side.py")),
                    "--quiet",
                    "--benchmark-disable-gc",
                    # CPU time: a busy host must not count against the slower side.
                    "--benchmark-timer=time.process_time",
                    f"--benchmark-json={out}",
                ]
            )
        if code:
            sys.stderr.write(said.getvalue())
            return int(code)
        runs = json.loads(out.read_text("utf-8"))["benchmarks"]
    us = {run["params"]["side"].split()[1]: run["stats"]["median"] * 1e6 for run in runs}
    tell(
        [
            figure("rules_decide_native_us", us["native"], "us", HOW),
            figure("rules_decide_oracle_us", us["oracle"], "us", f"{HOW}; tests/oracle"),
            figure("rules_decide_ratio", us["oracle"] / us["native"], "ratio", "oracle / native"),
        ]
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
