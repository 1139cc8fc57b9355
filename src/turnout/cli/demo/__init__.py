"""`turnout demo`: a tour that ends by itself and checks what it claims.

It runs on free ports and in a directory of its own, over the real faces, against the simulated
providers; whatever else runs on this machine, a Turnout of yours too, is left alone.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path

from turnout.cli.demo import everyday, trouble
from turnout.cli.demo.report import Report
from turnout.cli.demo.shop import Shop
from turnout.cli.playground import Playground, write_playground
from turnout.cli.stack import NotReady, PartDied

_SHOWN_LINES = 40


def run_demo(as_json: bool = False) -> int:
    """Runs the tour; gives the exit status, which is non-zero where a claim was not kept."""
    report = Report(quiet=as_json)
    with tempfile.TemporaryDirectory(prefix="turnout-demo-") as room:
        ground = Playground(write_playground(Path(room)))
        try:
            asyncio.run(_tour(ground, report))
        except (PartDied, NotReady) as error:
            print(f"turnout demo: {error}", file=sys.stderr)
            return 1
        except BaseException:
            for name, line in ground.log[-_SHOWN_LINES:]:
                print(f"{name:<8}| {line}", file=sys.stderr)
            raise
    return report.close()


async def _tour(ground: Playground, report: Report) -> None:
    began = time.monotonic()
    async with ground:
        start_s = time.monotonic() - began
        report.figure("demo_start_s", start_s, "s", "first start to ready, all parts")
        shop = Shop(ground)
        if not shop.has_http:
            print(f"turnout demo: {ground.stack.missing}", file=sys.stderr)
        for scene in (
            everyday.networks_and_currencies,
            everyday.declines,
            everyday.captures,
            everyday.refunds,
            everyday.three_d_secure,
            everyday.webhook_finishes_capture,
            trouble.repeated_calls,
            trouble.outage,
            trouble.silence_after_charge,
            trouble.crash,
            trouble.the_books,
        ):
            await scene(shop, report)
        trouble.nothing_written(shop, report)
    report.figure("demo_duration_s", time.monotonic() - began, "s", "the whole tour")
