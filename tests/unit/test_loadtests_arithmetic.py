"""The arithmetic under every figure: a bench that counts wrongly is worse than none."""

import json

import pytest
from loadtests.bench.figures import figure, tell
from loadtests.bench.parts import BenchFailed
from loadtests.bench.stages import LOOP, shares, stage_of
from loadtests.bench.stats import due, goal_met, intended_ns, median, quantile, spread
from loadtests.bench.throughput import Runs, cpu_ratio, ratio
from loadtests.references import spelled
from loadtests.shapes import SHAPES, SPIKE_TIMES, users_at
from loadtests.split import Split, parts_ms, percentiles, rounded
from loadtests.summary import Limits, Totals, page, problems


def test_a_quantile_is_a_value_that_was_measured() -> None:
    values = [1.0, 2.0, 3.0, 4.0]
    assert [quantile(values, share) for share in (0.0, 0.25, 0.5, 0.51, 0.99, 1.0)] == [
        1.0, 1.0, 2.0, 3.0, 4.0, 4.0,
    ]  # fmt: skip
    assert quantile([7.0], 0.5) == 7.0
    hundred = [float(value) for value in range(1, 101)]
    assert quantile(hundred, 0.99) == 99.0


def test_medians_and_their_scatter() -> None:
    assert median([3, 1, 2]) == 2
    assert median([4, 1, 3, 2]) == 2.5
    assert spread([90, 100, 120]) == pytest.approx(0.2)
    assert spread([0.0, 0.0]) == 0.0


@pytest.mark.parametrize(
    ("goal", "value", "met"),
    [
        (">= 0.60", 0.6, True),
        (">= 0.60", 0.59, False),
        ("<= 8", 8.1, False),
        ("< 1", 1, False),
        ("== 0", 0, True),
        ("> -1", 0, True),
    ],
)
def test_goals(goal: str, value: float, met: bool) -> None:
    assert goal_met(goal, value) is met


def test_a_goal_that_cannot_be_read_is_an_error() -> None:
    with pytest.raises(ValueError, match="expected a comparison"):
        goal_met("about 3", 3)


def test_an_open_loop_neither_drifts_nor_catches_up() -> None:
    began = 1_000
    assert due(began, began - 1, 100.0) == 0
    assert due(began, began, 100.0) == 1
    # A client that slept for a second owes all the calls of that second, each at its own time.
    assert due(began, began + 1_000_000_000, 100.0) == 101
    assert intended_ns(began, 100, 100.0) == began + 1_000_000_000
    assert intended_ns(began, 1, 3.0) == began + 333_333_333


def test_ratios_are_made_within_rounds() -> None:
    part, whole = Runs([50.0, 20.0, 60.0], [4.0, 4.0, 4.0]), Runs([100.0, 40.0, 100.0], [1.0] * 3)
    # The second round was slow for both, and says the same.
    assert ratio(part, whole) == 0.5
    assert cpu_ratio(part, whole) == 0.25


def test_figures_as_lines_of_json(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = [figure("a", 0.6049, "ratio", "how", ">= 0.60"), figure("b", 12345.6, "us", "so")]
    monkeypatch.setenv("JSON", "1")
    tell(figures)
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert list(first) == ["name", "value", "unit", "goal", "met", "how"]
    assert list(first.values()) == ["a", 0.6049, "ratio", ">= 0.60", True, "how"]
    assert (second["goal"], second["met"]) == (None, None)
    monkeypatch.delenv("JSON")
    tell(figures)
    table = capsys.readouterr().out
    assert "met" in table
    assert "0.6049" in table


def test_a_sample_counts_for_the_innermost_stage() -> None:
    handle = "Unary.handle (turnout/server/face.py:10)"
    run = "Runner.run (asyncio/runners.py:118)"
    encode = "encode (turnout/stores/sqlite/units.py:9)"
    move = "Payment.move (turnout/domain/payment.py:5)"
    settle = "Settler.settle (turnout/orchestration/settle.py:7)"
    assert stage_of([run]) == LOOP
    assert stage_of([run, handle]) == "face: key, headers, ends"
    assert stage_of([run, handle, encode]) == "store: encode units"
    assert stage_of([run, settle, move]) == "settle, units, ids"
    lines = [
        f"thread (7): MainThread;{run} 1",
        f"thread (7): MainThread;{run};{handle} 3",
        f"thread (8): record-writer;{encode} 99",
    ]
    assert shares(lines, "MainThread") == {"face: key, headers, ends": 0.75, LOOP: 0.25}


def test_references_hold_nothing_like_a_card_number() -> None:
    texts = [f"bench{salt:08x}-{number:010d}" for salt in (0, 9, 10, 25) for number in (7, 42)]
    written = [spelled(text) for text in texts]
    assert not any(letter.isdigit() for text in written for letter in text)
    assert len(set(written)) == len(texts)
    assert [len(text) for text in written] == [len(text) for text in texts]


# --- load tests ----------------------------------------------------------------------------


def test_the_shapes() -> None:
    assert users_at("steady", 60, 120, 50) == 50
    assert users_at("steady", 0, 120, 50) == 1
    assert users_at("steady", 5, 120, 50) == 25
    assert users_at("ramp", 60, 120, 50) == 25
    assert users_at("spike", 60, 120, 50) == 50 * SPIKE_TIMES
    assert users_at("spike", 100, 120, 50) == 50
    assert all(users_at(shape, 120, 120, 50) is None for shape in SHAPES)
    with pytest.raises(ValueError, match="one of"):
        users_at("square", 1, 2, 3)


def test_a_latency_is_split_without_rest() -> None:
    assert parts_ms(100.0, [(1.0, 1.06)]) == pytest.approx((40.0, 60.0))
    # Two attempts of a cascade; and clocks that disagree never make a part negative.
    assert parts_ms(100.0, [(1.0, 1.02), (1.03, 1.05)])[1] == pytest.approx(40.0)
    assert parts_ms(10.0, [(1.0, 1.5)]) == (0.0, 10.0)
    assert parts_ms(10.0, [(2.0, 1.0)]) == (10.0, 0.0)


def test_percentiles_of_counts() -> None:
    counts = {1.0: 500, 2.0: 400, 30.0: 90, 400.0: 9, 5_000.0: 1}
    assert percentiles(counts) == {0.5: 1.0, 0.9: 2.0, 0.99: 30.0, 0.999: 400.0}
    assert percentiles({3.0: 1}) == dict.fromkeys((0.5, 0.9, 0.99, 0.999), 3.0)
    assert [rounded(value) for value in (1234.5, 0.012349, 0.0, -1.0)] == [1230.0, 0.0123, 0, 0]


def test_workers_counts_add_up() -> None:
    one, two, all_of = Split(), Split(), Split()
    for number in range(1, 101):
        (one if number % 2 else two).add("grpc", float(number), number / 2, number / 2)
        all_of.add("grpc", float(number), number / 2, number / 2)
    master = Split()
    # As it goes over the wire between Locust's processes.
    master.merge(json.loads(json.dumps(one.take())))
    master.merge(json.loads(json.dumps(two.take())))
    assert master.rows() == all_of.rows()
    assert not one.rows()
    assert [row["part"] for row in master.rows()] == ["total", "added", "provider"]
    assert master.rows()[0]["p99_ms"] == 99.0


def test_thresholds() -> None:
    split = Split()
    split.add("grpc", 120.0, 20.0, 100.0)
    rows = split.rows()
    good = Totals(1_000, 1, 50.0, 20.0)
    assert not problems(good, rows, Limits(0.001, 20.0, 120.0, 50.0))
    assert len(problems(good, rows, Limits(0.0, 19.0, 119.0, 51.0))) == 4
    assert Limits(0.001, 20.0, 0.0, 50.0).told() == (
        "at most 0.10% of the calls failed, added p99 at most 20 ms, at least 50 calls a second"
    )
    assert problems(Totals(0, 0, 0.0, 1.0), [], Limits()) == ["no call was made at all"]
    told = page(good, rows, [["grpc", "<b>", 1, 0, 1.0, 1.0, 1.0, 1.0, 1.0]], ["x < y"], "how")
    assert "x &lt; y" in told
    assert "&lt;b&gt;" in told
    assert "Passed" not in told
    assert "Passed" in page(good, rows, [], [], "how")


def test_a_baseline_is_compared_by_its_tolerance() -> None:
    from loadtests.bench.check import compare, ratios

    now = ratios([figure("a_steps_ratio", 0.5, "ratio", ""), figure("a_per_s", 9.0, "1/s", "")])
    assert now == {"a_steps_ratio": 0.5}
    assert [one.met for one in compare({"a_steps_ratio": 0.55}, now, 0.15)] == [True]
    assert [one.met for one in compare({"a_steps_ratio": 0.60}, now, 0.15)] == [False]
    assert [one.met for one in compare({"a_steps_ratio": 0.1}, now, 0.15)] == [True]
    with pytest.raises(BenchFailed, match="b_steps_ratio"):
        compare({"b_steps_ratio": 1.0}, now, 0.15)


def test_a_missed_goal_is_told_with_its_reason() -> None:
    assert figure("ratio", 0.5, "ratio", "b to a", ">= 0.60", "rows").how == "b to a. Missed: rows"
    assert figure("ratio", 0.7, "ratio", "b to a", ">= 0.60", "rows").how == "b to a"
    assert figure("ratio", 0.7, "ratio", "b to a", None, "rows").how == "b to a"
