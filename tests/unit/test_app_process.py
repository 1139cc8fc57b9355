"""The process's own clock, randomness, lock and figures' words."""

import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest

from turnout.app.limits import MANY_IN_FLIGHT, pace_garbage
from turnout.app.lock import LOCK_NAME, RecordInUse, RecordLock, holder_of
from turnout.app.process import DEFECT
from turnout.app.system import SystemClock, SystemRandom


def test_randomness_does_not_repeat_across_blocks() -> None:
    source = SystemRandom()
    drawn = [source.bytes(24) for _ in range(2_000)]
    assert len(set(drawn)) == len(drawn)
    assert {len(one) for one in drawn} == {24}
    assert len(source.bytes(100_000)) == 100_000
    assert source.bytes(0) == b""


def test_keys_never_lie_in_a_block() -> None:
    source = SystemRandom()
    assert source.bytes(8) in source._block.getvalue()
    drawn = source.bytes(32)
    assert drawn not in source._block.getvalue()


def test_seeds_fill_64_bits() -> None:
    source = SystemRandom()
    seeds = [source.seed() for _ in range(500)]
    assert max(seeds) > 2**60
    assert all(0 <= seed < 2**64 for seed in seeds)


def test_the_collector_looks_sooner_and_at_fewer_where_many_are_in_flight() -> None:
    before = gc.get_threshold()
    try:
        pace_garbage(MANY_IN_FLIGHT - 1)
        few = gc.get_threshold()
        pace_garbage(MANY_IN_FLIGHT)
        many = gc.get_threshold()
    finally:
        gc.set_threshold(*before)
    assert many[0] < few[0]
    # Everything is looked at after as many objects either way, and the middle-aged hardly ever.
    assert many[0] * many[1] * many[2] == few[0] * few[1] * few[2]
    assert many[0] * many[1] >= 1_000_000 and few[0] * few[1] >= 1_000_000


def test_time_goes_on() -> None:
    clock = SystemClock()
    first = clock.monotonic_ns()
    assert clock.monotonic_ns() >= first
    assert clock.now_ns() > 1_700_000_000 * 10**9


def test_a_lock_names_its_holder_and_falls_with_it(tmp_path: Path) -> None:
    room = tmp_path / "var"
    program = (
        "import sys; from pathlib import Path; from turnout.app.lock import RecordLock\n"
        "lock = RecordLock(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", program, str(room)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(RecordInUse, match=f"process {holder.pid}:"):
        RecordLock(room)
    assert holder_of(room) == holder.pid
    holder.kill()
    holder.communicate()
    assert holder_of(room) is None
    with RecordLock(room):
        assert holder_of(room) == os.getpid()
    assert (room / LOCK_NAME).stat().st_mode & 0o777 == 0o600


def test_nobody_holds_what_is_not_there(tmp_path: Path) -> None:
    assert holder_of(tmp_path) is None


def test_a_defect_is_logged_before_the_log_ends(tmp_path: Path) -> None:
    program = (
        "import os, sys; from pathlib import Path\n"
        "from turnout.app.process import run_process\n"
        "from turnout.config import load, write_sandbox_config\n"
        "settings = load(write_sandbox_config(Path(sys.argv[1]), os.urandom).path, {})\n"
        "async def main(logs): raise RuntimeError('card 4111111111111111 was here')\n"
        "run_process(settings, main)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, check=False
    )
    assert ended.returncode == DEFECT
    assert b"process.failed" in ended.stderr
    assert b"RuntimeError" in ended.stderr
    assert b"4111111111111111" not in ended.stderr
