"""`make load`: a whole Turnout of its own, three merchants, and Locust against it.

    python -m loadtests.run [--duration 2m] [--users 60] [--shape steady] [-- more for Locust]

Providers are the sandbox's, with prompt webhooks and latencies such as providers have. The report
goes to loadtests/reports/: summary.html, summary.csv, locust.html, locust_stats.csv and others.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import secrets
import sys
import tempfile
from pathlib import Path

from turnout.cli.playground import Playground, write_playground

ROOT = Path(__file__).resolve().parents[1]
REPORTS = ROOT / "loadtests" / "reports"

# Card-not-present authorizations: most within a third of a second, a tail of seconds.
_LATENCY = {"p50_ms": 180, "p99_ms": 900}
# One copy each, in order, and after the answer: a webhook that overtakes its answer settles the
# attempt, and what the caller then still waits for the answer would count as added by Turnout.
_WEBHOOKS = {"preset": "prompt", "delay_p50_ms": 1_500.0, "delay_p99_ms": 4_000.0}
_MERCHANTS = ("books", "games")


def _merchants(ports: dict[str, int], environ: dict[str, str]) -> str:
    """TOML of further merchants, each with an account at both providers and an API key.

    Their secrets are new, and go into the environment.
    """

    def secret(name: str, value: str) -> str:
        environ[name] = value
        return f"env:{name}"

    text = ""
    for name in _MERCHANTS:
        upper = f"TURNOUT_LOAD_{name.upper()}"
        key = f"sk_test_{secrets.token_hex(24)}"
        environ[f"{upper}_KEY"] = key
        sha256 = secret(f"{upper}_SHA256", hashlib.sha256(key.encode()).hexdigest())
        text += f"""
[[merchants]]
id = "mer_{name}"
organisation = "org_demo"
name = "{name.title()}"
default_profile = "pro_{name}"

[[profiles]]
id = "pro_{name}"
merchant = "mer_{name}"
tiers = [["acc_{name}_stripe", "acc_{name}_adyen"]]
# A few published cards stand for all customers here.
scheme_rules_in_test = false

[[accounts]]
id = "acc_{name}_stripe"
merchant = "mer_{name}"
provider = "stripe"
base_url = "http://127.0.0.1:{ports["stripe"]}"
credentials = {{ api_key = "{secret(f"{upper}_STRIPE", "sk_test_" + secrets.token_hex(16))}" }}
webhook_secrets = ["{secret(f"{upper}_STRIPE_WH", "whsec_" + secrets.token_hex(16))}"]

[[accounts]]
id = "acc_{name}_adyen"
merchant = "mer_{name}"
provider = "adyen"
base_url = "http://127.0.0.1:{ports["adyen"]}"
credentials = {{ api_key = "{secret(f"{upper}_ADYEN", secrets.token_hex(16))}" }}
webhook_secrets = ["{secret(f"{upper}_ADYEN_WH", secrets.token_hex(32))}"]
settings = {{ merchant_account = "Load{name.title()}ECOM" }}

[[api_keys]]
id = "key_{name}_test"
merchant = "mer_{name}"
sha256 = "{sha256}"
live = false
"""
    return text


def _options(given: argparse.Namespace, ground: Playground, more: list[str]) -> list[str]:
    settings, reports = ground.settings, str(given.reports)
    return [
        *("-f", str(ROOT / "loadtests" / "locustfile.py"), "--headless", "--skip-log"),
        *("--only-summary", "--run-time", given.duration, "--users", str(given.users)),
        *("--shape", given.shape, "--summary", reports),
        *("--html", f"{reports}/locust.html", "--csv", f"{reports}/locust"),
        *("--grpc-target", f"127.0.0.1:{settings.server.port}", "--edge-url", ground.edge),
        *("--exit-code-on-error", "1", "--stop-timeout", "30"),
        *more,
    ]


async def load(given: argparse.Namespace, more: list[str], room: Path) -> int:
    """Starts everything, runs Locust, ends everything; gives Locust's exit status."""
    first = write_playground(room, more="")
    ports = {"stripe": first.sandbox.stripe_port, "adyen": first.sandbox.adyen_port}
    environ: dict[str, str] = {}
    text = _merchants(ports, environ)
    os.environ.update(environ)
    path = first.path
    path.write_text(path.read_text("utf-8") + text, "utf-8")
    from turnout.config import load as load_settings

    async with Playground(load_settings(path, os.environ)) as ground:
        await ground.control("PUT", "webhooks", dict(_WEBHOOKS))
        for provider in ("stripe", "adyen"):
            await ground.control("PUT", f"{provider}/latency", dict(_LATENCY))
        keys = [ground.key, *(environ[f"TURNOUT_LOAD_{one.upper()}_KEY"] for one in _MERCHANTS)]
        locust = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "locust", *_options(given, ground, more)),
            env={**os.environ, "TURNOUT_LOAD_KEYS": ",".join(keys), "PYTHONPATH": str(ROOT)},
            cwd=ROOT,
        )
        return await locust.wait()


def main() -> int:
    """Runs a load test on a Turnout of its own."""
    parser = argparse.ArgumentParser(prog="loadtests.run", description=__doc__)
    parser.add_argument("--duration", default="2m", help="as Locust reads it: 10s, 2m, 8h")
    parser.add_argument("--users", type=int, default=60)
    parser.add_argument("--shape", default="steady")
    parser.add_argument("--reports", type=Path, default=REPORTS)
    given, more = parser.parse_known_args()
    more = [one for one in more if one != "--"]
    given.reports.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="turnout-load-") as room:
        status = asyncio.run(load(given, more, Path(room)))
    print(f"report: {given.reports / 'summary.html'}")
    return status


if __name__ == "__main__":
    sys.exit(main())
