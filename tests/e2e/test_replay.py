"""`turnout replay` beside a running server: its record is read, and nothing of it changes."""

import json
import tomllib
from pathlib import Path

from tests.e2e.grounds import Merchant, playground
from tests.e2e.running import run
from turnout.cli.playground import IMPATIENT

CANDIDATE = """
mode = "first_match"

[[rules]]
id = "second-first"
[rules.then]
priority = [["acc_adyen_main"], ["acc_stripe_main"]]
"""
# Accounts of one tier are drawn widely, so that there is something to compare with.
WIDELY = """
[routing.choice]
near_best = 1.0
temperature = 0.2
"""
PAYMENTS = 40


async def test_a_candidate_is_tried_on_recorded_payments(tmp_path: Path) -> None:
    async with playground(tmp_path, more=IMPATIENT + WIDELY) as ground:
        merchant = Merchant(ground)
        for number in range(PAYMENTS):
            await merchant.authorize(f"replay-{number}")
        (tmp_path / "candidate.toml").write_text(CANDIDATE)
        config = ("--config", str(ground.settings.path), "--profile", "pro_demo")
        command = ("replay", *config, "--ruleset", "candidate.toml", "--since", "1h")
        status, told = await run(*command, cwd=tmp_path)
        assert status == 0, told
        assert f"{PAYMENTS} decisions read" in told
        assert "doubly robust" in told
        assert all(len(line) <= 99 for line in told.splitlines() if "warning" not in line)
        status, told = await run(*command, cwd=tmp_path, JSON="1")
        assert status == 0, told
        lines = [json.loads(line) for line in told.splitlines()]
        figures = {one["name"]: one["value"] for one in lines if "name" in one}
        assert figures["replay_decisions_read"] == PAYMENTS
        assert figures["replay_approval"] == 1
        # Adyen would have had all that Stripe had.
        assert 0 < figures["replay_moved"] < PAYMENTS
        shares = {one["how"]: one["value"] for one in lines if one.get("unit") == "ratio"}
        assert shares["first places of acc_adyen_main"] == 1
        assert any("only 40 decisions" in one.get("warning", "") for one in lines)
        body = {"document": tomllib.loads(CANDIDATE), "max_decisions": PAYMENTS}
        answered, raw = await ground.http("POST", "/v1/routing/profiles/pro_demo:replay", body)
        assert answered == 200, raw
        over_http = json.loads(raw)
        assert over_http["decision_count"] == PAYMENTS
        assert over_http["moved"] == figures["replay_moved"]
        for text, words in (
            ('mode = "frist_match"', "is no ruleset:"),
            (CANDIDATE.replace("acc_adyen_main", "acc_no"), "could not be put in force:"),
        ):
            (tmp_path / "candidate.toml").write_text(text)
            status, told = await run(*command, cwd=tmp_path)
            assert (status, words in told, "Traceback" in told) == (65, True, False), told
        status, told = await run("replay", *config, "--version", "9", cwd=tmp_path)
        assert (status, "pro_demo has no version 9" in told) == (65, True), told
        await merchant.authorize("after")


async def test_what_cannot_be_replayed_is_told_in_a_sentence(tmp_path: Path) -> None:
    status, _ = await run("init", cwd=tmp_path)
    assert status == 0
    (tmp_path / "bad.toml").write_text('mode = "frist_match"\n')
    for arguments, expected, words in (
        (("--profile", "pro_nope", "--ruleset", "bad.toml"), 65, "there is no profile 'pro_nope'"),
        (("--profile", "pro_demo", "--ruleset", "bad.toml"), 69, "record.db"),
        (("--profile", "pro_demo", "--ruleset", "bad.toml", "--since", "7w"), 2, "no span"),
        (("--profile", "pro_demo"), 2, "one of the arguments"),
    ):
        status, told = await run("replay", *arguments, cwd=tmp_path)
        assert (status, words in told) == (expected, True), told
        assert "Traceback" not in told
