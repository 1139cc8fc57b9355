"""The schemes' rules as data, and the judge over them."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from turnout.connectors.verdicts import FINAL_ISSUER_CODES, MERCHANT_ADVICE
from turnout.domain.cards import Network
from turnout.domain.declines import DeclineCode, decline
from turnout.ports import SchemeAttempt, SchemeFacts
from turnout.routing.schemes import (
    Asked,
    Reason,
    SchemeRulesInvalid,
    judge,
    read_rules,
    room,
    rule_book,
)

HOUR_NS = 3_600 * 1_000_000_000
NOW_NS = int(datetime(2026, 11, 21, tzinfo=UTC).timestamp()) * 1_000_000_000
VISA = rule_book().of(Network.VISA, NOW_NS)
MASTERCARD = rule_book().of(Network.MASTERCARD, NOW_NS)
EXPIRY = 203003

GOOD = """
[[scheme]]
network = "visa"
effective_from = 2026-01-01
final_codes = ["14"]
mend_codes = []
unadvised_attempts = 0
limits = [{ scope = "intent", window_h = 720, attempts = 15 }]

[[scheme]]
network = "other"
effective_from = 2022-04-01
final_codes = []
mend_codes = []
unadvised_attempts = 0
limits = [{ scope = "intent", window_h = 720, attempts = 15 }]
"""


def seen(number: int, hours_ago: float = 1.0, **changes: object) -> SchemeAttempt:
    """A declined attempt; sent and declined this long ago."""
    at_ns = NOW_NS - int(hours_ago * HOUR_NS)
    one = SchemeAttempt(
        f"att_{number}", b"c", b"a", b"i", False, EXPIRY, at_ns, declined_at_ns=at_ns
    )
    return replace(one, **changes)  # type: ignore[arg-type]


def facts(*attempts: SchemeAttempt) -> SchemeFacts:
    return SchemeFacts(list(attempts), None, [one.sent_at_ns for one in attempts])


def asked(**changes: object) -> Asked:
    return replace(Asked(NOW_NS, False, EXPIRY), **changes)  # type: ignore[arg-type]


# --- the data ---------------------------------------------------------------------------------


def test_the_packages_rules_are_those_of_the_document() -> None:
    final = {"04", "07", "12", "14", "15", "41", "43", "46", "57", "R0", "R1", "R3"}
    assert final == VISA.final_codes == MASTERCARD.final_codes == FINAL_ISSUER_CODES
    assert [(one.rule, one.attempts) for one in VISA.limits] == [("visa.intent_720h", 15)]
    assert [(one.rule, one.attempts) for one in MASTERCARD.limits] == [
        ("mastercard.card_24h", 8),
        ("mastercard.intent_720h", 30),
    ]
    hours = {code: one.wait_ns // HOUR_NS for code, one in MASTERCARD.advice.items()}
    assert hours == {
        "01": 720, "02": 72, "03": 720, "21": 720, "24": 1, "25": 24, "26": 48, "27": 96,
        "28": 144, "29": 192, "30": 240, "40": 720, "41": 720, "43": 720,
    }  # fmt: skip
    # What a rule waits for is what the connectors end a cascade for.
    assert hours.keys() <= MERCHANT_ADVICE.keys()
    assert MASTERCARD.unadvised_attempts == 2


@pytest.mark.parametrize("network", [Network.AMEX, Network.DISCOVER, Network.UNKNOWN, Network.JCB])
def test_whoever_has_no_rules_of_its_own_has_visas_limits(network: Network) -> None:
    rules = rule_book().of(network, NOW_NS)
    assert rules.scheme == "other"
    assert [replace(one, rule="") for one in rules.limits] == [
        replace(one, rule="") for one in VISA.limits
    ]


def test_maestro_is_mastercards() -> None:
    assert rule_book().of(Network.MAESTRO, NOW_NS) is MASTERCARD


def test_a_later_day_takes_over_by_itself() -> None:
    later = GOOD.split("[[scheme]]")[1].replace("2026-01-01", "2026-11-22").replace("15", "20")
    book = read_rules(f"{GOOD}\n[[scheme]]{later}")
    day_ns = 24 * HOUR_NS
    for at_ns, attempts in (
        (0, 15),
        (NOW_NS, 15),
        (NOW_NS + day_ns - 1, 15),
        (NOW_NS + day_ns, 20),
    ):
        assert book.of(Network.VISA, at_ns).limits[0].attempts == attempts


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("[[scheme]]", "[scheme]", "no TOML"),
        ('network = "visa"', 'network = "vista"', "'vista' is no network"),
        ('network = "visa"', "", r"scheme 1: network must be a str"),
        ('network = "other"', 'network = "amex"', "no \\[\\[scheme\\]\\] has network = 'other'"),
        ("2026-01-01", '"2026-01-01"', "effective_from must be a day"),
        ("2026-01-01", "2026-01-01T00:00:00Z", "effective_from must be a day"),
        ('["14"]', '"14"', "final_codes must be a list of words"),
        ("mend_codes", "mended_codes", r"\['mended_codes'\] is not known"),
        ("unadvised_attempts = 0", "unadvised_attempts = -1", "unadvised_attempts must be 0 to"),
        ("unadvised_attempts = 0", "unadvised_attempts = true", "must be a int"),
        ('scope = "intent"', 'scope = "payer"', "scope is one of"),
        ("window_h = 720", "window_h = 0", "limit 1: window_h must be 1 to"),
        ("attempts = 15", "attempts = 1.5", "attempts must be a int"),
        ("attempts = 15 }]", "attempts = 15, per = 1 }]", r"\['per'\] is not known"),
        (
            "limits = [{",
            'advice = { "03" = { wait_h = 9, until = "x" } }\nlimits = [{',
            "until is",
        ),
        ("limits = [{", 'advice = { "03" = 720 }\nlimits = [{', "advice '03': a table is wanted"),
        ('network = "other"', 'network = "other"\nalso = ["visa", "other"]', "same day"),
    ],
)
def test_a_fault_in_the_rules_is_told_with_its_place(old: str, new: str, told: str) -> None:
    read_rules(GOOD)
    with pytest.raises(SchemeRulesInvalid, match=told):
        read_rules(GOOD.replace(old, new, 1))


def test_rules_without_a_limit_are_refused() -> None:
    empty = GOOD.replace('limits = [{ scope = "intent", window_h = 720, attempts = 15 }]',
                         "limits = []", 1)  # fmt: skip
    with pytest.raises(SchemeRulesInvalid, match="limits is empty"):
        read_rules(empty)
    with pytest.raises(SchemeRulesInvalid, match="hold no"):
        read_rules("")


# --- the judge --------------------------------------------------------------------------------


def test_a_card_that_nobody_declined_may_be_tried() -> None:
    for rules in (VISA, MASTERCARD):
        assert judge(rules, SchemeFacts(), asked()) is None
        assert judge(rules, SchemeFacts(), asked(merchant_initiated=True)) is None


def test_after_a_final_code_never() -> None:
    final = seen(1, 24 * 400, issuer_code="14", final=True)
    forbidden = judge(VISA, SchemeFacts([], final), asked())
    assert forbidden is not None
    assert (forbidden.rule, forbidden.reason) == ("visa.final_code", Reason.FINAL_CODE)
    assert forbidden.not_before_ns is None and "14" in forbidden.told


@pytest.mark.parametrize("code", sorted(MASTERCARD.advice))
@pytest.mark.parametrize("merchant_initiated", [False, True])
def test_an_advice_holds_until_its_time_is_over(code: str, merchant_initiated: bool) -> None:
    wait_h = MASTERCARD.advice[code].wait_ns / HOUR_NS
    question = asked(merchant_initiated=merchant_initiated)
    held = judge(MASTERCARD, facts(seen(1, wait_h - 0.001, advice_code=code)), question)
    if code in ("40", "41", "43") and not merchant_initiated:
        assert held is None
    else:
        assert held is not None and held.rule == f"mastercard.advice_{code}"
        assert held.not_before_ns is not None and held.not_before_ns > NOW_NS
    assert judge(MASTERCARD, facts(seen(1, wait_h, advice_code=code)), question) is None


def test_the_longest_of_several_waits_holds() -> None:
    found = facts(seen(1, 2, advice_code="25"), seen(2, 30, advice_code="02"))
    held = judge(MASTERCARD, found, asked())
    assert held is not None and held.rule == "mastercard.advice_02"
    assert held.not_before_ns == NOW_NS + 42 * HOUR_NS


def test_new_account_data_lifts_advice_01_and_nothing_else() -> None:
    fresh = asked(expiry=EXPIRY + 100)
    assert judge(MASTERCARD, facts(seen(1, advice_code="01")), fresh) is None
    assert judge(MASTERCARD, facts(seen(1, advice_code="03")), fresh) is not None


def test_a_prepaid_card_is_not_retried_within_the_payment() -> None:
    found = facts(seen(1, advice_code="40"))
    assert judge(MASTERCARD, found, asked(own=["att_1"])) is not None
    assert judge(MASTERCARD, found, asked(own=["att_9"])) is None


def test_without_advice_a_customers_payment_makes_two_attempts_and_a_merchants_one() -> None:
    one, two = facts(seen(1)), facts(seen(1), seen(2))
    own = ["att_1", "att_2"]
    assert judge(MASTERCARD, one, asked(own=own)) is None
    held = judge(MASTERCARD, two, asked(own=own))
    assert held is not None
    assert (held.reason, held.count, held.limit) == (Reason.NO_ADVICE, 2, 2)
    alone = judge(MASTERCARD, one, asked(own=own, merchant_initiated=True))
    assert alone is not None and (alone.reason, alone.limit) == (Reason.NO_ADVICE, 1)
    # An advice that nobody knows is none; another payment's attempts are not this one's.
    assert judge(MASTERCARD, facts(seen(1, advice_code="99"), seen(2)), asked(own=own)) is not None
    assert judge(MASTERCARD, two, asked(own=["att_3"])) is None
    assert judge(VISA, two, asked(own=own)) is None


def test_wrong_data_is_mended_not_repeated() -> None:
    expired = decline(DeclineCode.ISSUER_UNAVAILABLE, issuer_code="54")
    held = judge(VISA, SchemeFacts(), asked(previous=expired))
    assert held is not None and (held.reason, held.not_before_ns) == (Reason.MEND_DATA, None)
    found = facts(seen(1, 10, issuer_code="54"))
    assert judge(VISA, found, asked()) is None
    batch = judge(VISA, found, asked(merchant_initiated=True))
    assert batch is not None and batch.not_before_ns == NOW_NS + 710 * HOUR_NS
    assert judge(VISA, found, asked(merchant_initiated=True, expiry=EXPIRY + 100)) is None


def test_a_limit_is_reached_by_what_was_declined_and_what_is_open() -> None:
    attempts = [seen(number, 100 - number) for number in range(1, 15)]
    assert judge(VISA, facts(*attempts), asked()) is None
    assert room(VISA, facts(*attempts), asked()) == (1, "visa.intent_720h")
    attempts.append(seen(15, 2, declined_at_ns=0))
    held = judge(VISA, facts(*attempts), asked())
    assert held is not None
    assert (held.rule, held.count, held.limit) == ("visa.intent_720h", 15, 15)
    assert held.not_before_ns == NOW_NS + (720 - 99) * HOUR_NS
    # The merchant's own are counted apart, and what has left the window not at all.
    assert judge(VISA, facts(*attempts), asked(merchant_initiated=True)) is None
    assert judge(VISA, facts(*attempts), asked(now_ns=NOW_NS + 621 * HOUR_NS)) is None


def test_a_mastercard_is_counted_over_all_amounts_for_a_day() -> None:
    day = SchemeFacts([], None, [NOW_NS - hour * HOUR_NS for hour in range(23, 15, -1)])
    held = judge(MASTERCARD, day, asked())
    assert held is not None and held.rule == "mastercard.card_24h"
    assert held.not_before_ns == NOW_NS + HOUR_NS
    assert judge(MASTERCARD, day, asked(now_ns=NOW_NS + HOUR_NS)) is None


def test_what_is_not_known_and_what_is_hard_end_the_payment() -> None:
    found = facts(seen(1, declined_at_ns=0))
    held = judge(VISA, found, asked(own=["att_1"]))
    assert held is not None and held.reason is Reason.OUTCOME_UNKNOWN
    assert judge(VISA, found, asked()) is None
    hard = judge(VISA, SchemeFacts(), asked(previous=decline(DeclineCode.LOST_CARD)))
    assert hard is not None and hard.reason is Reason.HARD_DECLINE
    soft = asked(previous=decline(DeclineCode.DO_NOT_HONOR))
    assert judge(VISA, SchemeFacts(), soft) is None
