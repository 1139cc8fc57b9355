"""BIN files: what is read, what is refused, and which range speaks."""

from pathlib import Path

import pytest

from turnout.domain.cards import BinFacts, Funding, Network, network_of
from turnout.vault import BinFile, BinFileError, sandbox_bins
from turnout.vault.facts import plausible

HEADER = "low,high,network,funding,issuer_country,issuer_name"


def parse(*rows: str, header: str = HEADER) -> BinFile:
    return BinFile.parse([header, *rows], "bins.csv")


def test_the_narrowest_range_speaks() -> None:
    bins = parse(
        "4,,visa,,,Any Visa",
        "424242,424299,visa,credit,US,Wide",
        "42424242,,visa,debit,DE,Narrow",
        "4242424242424242,,visa,prepaid,FR,One card",
    )
    assert bins.ranges == 4

    def issuer(number: str) -> str:
        found = bins.lookup(number)
        return found.issuer_name if found else ""

    assert issuer("4111111111111111") == "Any Visa"
    assert issuer("4242410000000000") == "Any Visa"
    assert issuer("4242420000000000") == "Wide"
    assert issuer("4242424200000000") == "Narrow"
    assert issuer("4242424242424242") == "One card"
    assert issuer("4242424242424243") == "Narrow"
    assert issuer("4242424300000000") == "Wide"
    assert issuer("4242999999999999") == "Wide"
    assert issuer("4243000000000000") == "Any Visa"
    assert issuer("5555555555554444") == ""
    assert issuer("3999999999999999") == ""


def test_a_range_may_begin_with_the_first_number_and_end_with_the_last() -> None:
    bins = parse("0,,visa,,,First", "9,9,visa,,,Last", "99,,visa,,,Very last")
    for number, issuer in (
        ("0" * 12, "First"),
        ("0" * 19, "First"),
        ("0" + "9" * 18, "First"),
        ("9" * 19, "Very last"),
        ("9" * 12, "Very last"),
        ("98" + "9" * 17, "Last"),
    ):
        found = bins.lookup(number)
        assert found is not None and found.issuer_name == issuer
    assert bins.lookup("1" + "0" * 18) is None
    assert bins.lookup("8" + "9" * 18) is None


def test_all_facts_are_read_and_may_be_missing() -> None:
    bins = parse("400000,400009, Visa ,DEBIT,de, Example Bank ", "51,,,,,")
    facts = BinFacts(Network.VISA, Funding.DEBIT, "DE", "Example Bank")
    assert bins.lookup("4000010000000000") == facts
    assert bins.lookup("5100000000000000") == BinFacts()


def test_only_low_is_needed() -> None:
    assert parse("4", header="low").lookup("4000000000000000") == BinFacts()
    assert parse("jcb,35", header="network,low").lookup("3530111333300000") == (
        BinFacts(Network.JCB)
    )


def test_an_empty_file_knows_nothing() -> None:
    assert parse().lookup("4242424242424242") is None


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["x"], "bins.csv:2: low is 'x'"),
        (["4", "5a"], "bins.csv:3: low is '5a'"),
        ([",9"], "bins.csv:2: low is ''"),
        (["4,41"], "bins.csv:2: low 4 and high 41 must have as many digits"),
        (["42,41"], "bins.csv:2: low 42 is above high 41"),
        (["4,,vissa"], "bins.csv:2: network is 'vissa'; known are unknown, visa"),
        (["4,,,cash"], "bins.csv:2: funding is 'cash'"),
        (["4,,,,D"], "bins.csv:2: issuer_country is 'D'"),
        (["4,,,,DE,Bank,more"], "bins.csv:2: more values than columns"),
        (["4", "5", "4,4"], "bins.csv:4: the same range stands in line 2 too"),
        (["1" * 20], "bins.csv:2: low is"),
        (['4,,visa,,,"Bank'], "bins.csv:2: unexpected end of data"),
    ],
)
def test_a_bad_line_is_named(rows: list[str], message: str) -> None:
    with pytest.raises(BinFileError) as caught:
        parse(*rows)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("", "bins.csv:1: the first line must name the columns"),
        ("bin,network", "bins.csv:1: the first line must name the columns"),
        ("low,brand", "bins.csv:1: unknown column 'brand'"),
    ],
)
def test_a_bad_header_is_named(header: str, message: str) -> None:
    with pytest.raises(BinFileError) as caught:
        parse(header=header)
    assert str(caught.value).startswith(message)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(BinFileError, match=r"none\.csv: cannot be read"):
        BinFile.load(tmp_path / "none.csv")
    latin = tmp_path / "latin.csv"
    latin.write_bytes(f"{HEADER}\n4,,,,,Caf\xe9".encode("latin-1"))
    with pytest.raises(BinFileError, match="is not UTF-8"):
        BinFile.load(latin)
    marked = tmp_path / "marked.csv"
    marked.write_text(f"{HEADER}\r\n4,,visa,,,\r\n", encoding="utf-8-sig")
    assert BinFile.load(marked).lookup("4") == BinFacts(Network.VISA)


def test_the_sandbox_file_knows_the_public_test_cards() -> None:
    bins = sandbox_bins()
    for number, country, funding in (
        ("4242424242424242", "US", Funding.CREDIT),
        ("4000056655665556", "US", Funding.DEBIT),
        ("4000002500003155", "FR", Funding.CREDIT),
        ("4000002760003184", "DE", Funding.CREDIT),
        ("5105105105105100", "US", Funding.PREPAID),
        ("5555555555554444", "US", Funding.CREDIT),
        ("2223003122003222", "US", Funding.CREDIT),
        ("6200000000000047", "CN", Funding.DEBIT),
        ("6200000000000005", "CN", Funding.CREDIT),
        ("4111111111111111", "NL", Funding.CREDIT),
        ("3530111333300000", "", Funding.UNKNOWN),
    ):
        found = bins.lookup(number) or BinFacts()
        assert (found.issuer_country, found.funding) == (country, funding), number
        if found.network is not Network.UNKNOWN:
            assert plausible(found.network, network_of(number), Network.UNKNOWN)
