"""`turnout routing top` against a running server: one table, and a terminal that is watched."""

import asyncio
import errno
import fcntl
import os
import pty
import re
import signal
import struct
import sys
import termios
from pathlib import Path

from tests.e2e.grounds import Merchant, playground
from tests.e2e.running import LIMIT_S, turnout

ESCAPE = re.compile(r"\x1b\[[?0-9;]*[a-zA-Z]")


def read_until(terminal: int, sign: str, seen: str = "") -> str:
    """What a terminal shows, up to the first time that it shows `sign`."""
    while sign not in seen:
        seen += os.read(terminal, 65_536).decode("utf-8", "replace")
    return seen


def read_rest(terminal: int) -> str:
    """What is left to read of a terminal whose other side is closed."""
    seen = b""
    try:
        while more := os.read(terminal, 65_536):
            seen += more
    except OSError as error:
        # Linux says the end of a terminal so.
        assert error.errno == errno.EIO
    return seen.decode("utf-8", "replace")


async def test_one_table_tells_of_each_account_and_its_traffic(tmp_path: Path) -> None:
    async with playground(tmp_path) as ground:
        merchant = Merchant(ground)
        for number in range(3):
            await merchant.authorize(f"top-{number}", profile_id="pro_adyen")
        config = str(ground.settings.path)
        async with turnout("routing", "top", "--config", config, cwd=tmp_path) as top:
            assert await top.ended() == 0
        assert len(top.lines) == 1 + len(ground.settings.accounts)
        assert "\x1b" not in top.text
        (line,) = [one for one in top.lines if one.startswith("acc_adyen_main ")]
        assert line.split()[-4:] == ["100%", "100%", "of", "3"]
        assert all(len(one) <= 80 for one in top.lines)


async def test_a_terminal_is_painted_again_and_left_as_it_was(tmp_path: Path) -> None:
    async with playground(tmp_path) as ground:
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        command = ("-m", "turnout", "routing", "top", "--config", str(ground.settings.path))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, *command),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=theirs,
            cwd=tmp_path,
            env={**os.environ, "TERM": "xterm"},
        )
        os.close(theirs)
        try:
            async with asyncio.timeout(LIMIT_S):
                shown = await asyncio.to_thread(read_until, ours, "ctrl-C ends")
                await Merchant(ground).authorize("seen", profile_id="pro_adyen")
                later = await asyncio.to_thread(read_until, ours, "100% of 1")
                process.send_signal(signal.SIGINT)
                assert await process.wait() == 0
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        shown += later + read_rest(ours)
        os.close(ours)
        assert shown.startswith("\x1b[?1049h\x1b[?25l")
        assert shown.rstrip().endswith("\x1b[?25h\x1b[?1049l")
        # Going to the first line begins another one.
        lines = ESCAPE.sub("", shown.replace("\x1b[H", "\n")).replace("\r", "").split("\n")
        assert max(len(one) for one in lines) <= 80


async def test_a_server_that_is_not_there_is_told_in_a_sentence(tmp_path: Path) -> None:
    async with turnout("init", cwd=tmp_path) as made:
        assert await made.ended() == 0
    where = {"TURNOUT_OPERATIONS__PORT": "1"}
    async with turnout("routing", "top", "--once", cwd=tmp_path, **where) as top:
        assert await top.ended() == 69
    assert "http://127.0.0.1:1/accounts does not tell of the accounts" in top.text
    assert "is the server running?" in top.text
    assert "Traceback" not in top.text
