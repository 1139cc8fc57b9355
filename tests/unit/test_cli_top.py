"""`turnout routing top`: what the table says, and the traffic of the last minute."""

from collections.abc import Mapping
from typing import Any

from turnout.cli.top import Accounts, table
from turnout.telemetry.traffic import Traffic

WELL: dict[str, Any] = {
    "account_id": "acc_well",
    "breaker": "closed",
    "reason": "",
    "retry_in_s": 0.0,
    "approval": 0.8768,
    "failure_rate": 0.004,
    "latency_ms": 312.4,
    "in_flight": 3,
    "overdue": 0,
    "max_in_flight": 40,
    "enabled": True,
    "attempts": 90,
    "approved": 81,
}


def seen(*accounts: Mapping[str, Any]) -> Accounts:
    return [{**WELL, **one} for one in accounts]


def test_a_line_says_all_of_an_account() -> None:
    head, line, other = table(seen({}, {"account_id": "acc_idle", "attempts": 30, "approved": 0}))
    assert " ".join(head.split()) == "ACCOUNT APPROVAL FAILS LATENCY OPEN/CAP SHARE APPROVED"
    assert " ".join(line.split()) == "acc_well 87.7% 0.4% 312 ms 3/40 75% 90% of 90"
    assert " ".join(other.split()[-4:]) == "25% 0% of 30"


def test_what_is_ill_stands_first_with_its_reason() -> None:
    ill = {"account_id": "acc_ill", "breaker": "open", "reason": "overdue_calls",
           "retry_in_s": 4.6, "attempts": 0, "latency_ms": 0.0, "max_in_flight": 0}  # fmt: skip
    probed = {"account_id": "acc_probed", "breaker": "half_open", "reason": "error_rate"}
    slow = {"account_id": "acc_slow", "overdue": 7}
    off = {"account_id": "acc_off", "enabled": False}
    lines = table(seen({}, slow, off, probed, ill))
    assert [one.split()[0] for one in lines[1:4:2]] == ["acc_probed", "acc_ill"]
    text = "\n".join(lines)
    assert "breaker open: overdue_calls; next probe in 5 s" in text
    assert "breaker half open: error_rate; probing with single payments" in text
    assert "7 calls take suspiciously long" in text
    assert "disabled: takes no new payments" in text
    assert "\x1b" not in text
    assert "\x1b[31m" in "".join(table(seen(ill), colours=True))


def test_every_line_fits_into_eighty_columns() -> None:
    long = {"account_id": "acc_" + "x" * 60, "breaker": "open", "reason": "y" * 90,
            "attempts": 123_456, "approved": 123_456, "latency_ms": 99_999.0, "in_flight": 1_000,
            "max_in_flight": 2_000, "approval": 1.0, "failure_rate": 1.0}  # fmt: skip
    for line in table(seen(long, {})):
        assert len(line) <= 80, line


def test_a_low_terminal_says_what_is_left_out() -> None:
    many = [{"account_id": f"acc_{number}"} for number in range(50)]
    lines = table(seen(*many), rows=20)
    assert len(lines) <= 20
    assert lines[-1].startswith("and 32 more")
    assert len(table(seen(*many))) == 51
    assert table([])[-1] == "no accounts are configured"


def test_traffic_is_of_the_last_minute() -> None:
    now = [1_000_000_000_000]
    traffic = Traffic(lambda: now[0])
    for second in range(90):
        now[0] = (1_000 + second) * 1_000_000_000
        traffic.attempt("acc_a", second % 2 == 0)
    assert traffic.last_minute("acc_a") == (60, 30)
    now[0] += 30 * 1_000_000_000
    assert traffic.last_minute("acc_a") == (30, 15)
    now[0] += 60 * 1_000_000_000
    assert traffic.last_minute("acc_a") == (0, 0)
    assert traffic.last_minute("acc_never") == (0, 0)
