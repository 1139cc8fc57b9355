"""Instructions per call, out of what callgrind writes."""

from __future__ import annotations

from pathlib import Path

import pytest
from loadtests.bench.parts import BenchFailed
from loadtests.bench.steps import Counted, own_costs, read, told

_LOOP = """\
version: 1
positions: line
events: Ir
ob=(1) /usr/lib/libpython3.11.so
fl=(1) ceval.c
fn=(1) eval
10 100
+2 50
cob=(2) /site-packages/apsw/__init__.cpython-311.so
cfn=(2) step
calls=3 20
11 9000
* 7
ob=(2)
fn=(2)
20 400
ob=(1)
fn=(3) free
30 3
totals: 560
"""
_WRITER = "ob=(1) /usr/lib/libc.so.6\nfn=(1) memcpy\n5 60\n"


def test_what_a_function_calls_is_not_counted_as_its_own() -> None:
    found: dict[str, int] = {}
    for where, instructions in own_costs(_LOOP.splitlines()):
        found[where.rpartition("/")[2]] = found.get(where.rpartition("/")[2], 0) + instructions
    assert found == {"libpython3.11.so": 160, "__init__.cpython-311.so": 400}


def test_threads_are_told_apart_and_shared_among_the_calls(tmp_path: Path) -> None:
    (tmp_path / "callgrind.serve.2-01").write_text(_LOOP, "utf-8")
    (tmp_path / "callgrind.serve.2-03").write_text(_WRITER, "utf-8")
    (tmp_path / "callgrind.serve.1-01").write_text(_LOOP, "utf-8")
    counted = read(tmp_path / "callgrind.serve.2", 20)
    assert counted.by_place == {
        (True, "Python's interpreter and objects"): 8.0,
        (True, "SQLite"): 20.0,
        (False, "libc"): 3.0,
    }
    assert (counted.all, counted.loop) == (31.0, 28.0)
    ratio, steps, loop, *rest = told("get", counted, Counted({(True, "gRPC core"): 15.5}))
    assert (ratio.value, steps.value, loop.value) == (0.5, 0.031, 0.028)
    assert [one.name for one in rest] == [
        "get: loop, SQLite",
        "get: loop, Python's interpreter and objects",
        "get: other threads, libc",
    ]


def test_no_dump_is_an_error_and_not_nought(tmp_path: Path) -> None:
    with pytest.raises(BenchFailed, match="counted nothing"):
        read(tmp_path / "callgrind.serve.1", 20)
