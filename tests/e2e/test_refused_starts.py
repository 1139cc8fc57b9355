"""What must not start does not, and says which key or file is wrong."""

from pathlib import Path

import pytest

from tests.e2e.grounds import Merchant, playground
from tests.e2e.running import run
from turnout.cli.playground import write_playground

BAD_CONFIG = 78
CANNOT_RUN = 69


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (("port = ", "prot = "), "server.prot"),
        (('host = "127.0.0.1"', 'host = "0.0.0.0"'), "server.host"),
        (('default_profile = "pro_demo"', 'default_profile = "pro_dmo"'), "default_profile"),
        (('provider = "adyen"', 'provider = "adien"'), "acc_adyen_main: provider is 'adien'"),
        (('"acc_stripe_main"', '"acc_stripe_mian"'), "profiles[0].tiers[0][0]"),
        (
            ('"file:var/secrets/acc_stripe_main.api_key"', '"sk_test_in_the_open_1234"'),
            "accounts[0].credentials.api_key",
        ),
        (("timeout_ms = 5000", "timeout_ms = -1"), "accounts[0].timeout_ms"),
        (
            ('settings = { merchant_account = "SandboxMainECOM" }', ""),
            "settings.merchant_account",
        ),
    ],
)
@pytest.mark.parametrize("command", [("serve",), ("up",), ("config", "check")])
async def test_a_wrong_configuration_names_its_key(
    tmp_path: Path, change: tuple[str, str], key: str, command: tuple[str, ...]
) -> None:
    if (command == ("up",) and "acc_" in key) or key == "settings.merchant_account":
        command = ("serve",)  # Only the connectors know, and they stand behind `serve`.
    path = write_playground(tmp_path).path
    text = path.read_text()
    assert change[0] in text
    path.write_text(text.replace(*change, 1))
    status, said = await run("serve", cwd=tmp_path)
    assert status == BAD_CONFIG
    assert key in said
    assert "Traceback" not in said
    assert "sk_test_in_the_open" not in said
    assert not (tmp_path / "var/record.db").exists()


@pytest.mark.parametrize("command", [("up",), ("config", "check"), ("edge",), ("sandbox",)])
async def test_every_command_reads_the_same_configuration(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    path = write_playground(tmp_path).path
    path.write_text(path.read_text().replace("port = ", "prot = ", 1))
    status, said = await run(*command, cwd=tmp_path)
    assert status == BAD_CONFIG
    assert "server.prot" in said
    assert "Traceback" not in said


async def test_a_vault_without_its_master_key_refuses_and_makes_none(tmp_path: Path) -> None:
    async with playground(tmp_path) as ground:
        await Merchant(ground).authorize("order-1")
    key = tmp_path / "var/keys/master.key"
    kept = key.read_bytes()
    key.unlink()
    status, said = await run("serve", cwd=tmp_path)
    assert status == CANNOT_RUN
    assert str(key) in said and "missing" in said
    assert not key.exists()
    key.write_bytes(bytes(32))
    key.chmod(0o600)
    status, said = await run("serve", cwd=tmp_path)
    assert status == CANNOT_RUN
    assert "is wrapped under" in said
    key.write_bytes(kept)
    key.chmod(0o644)
    status, said = await run("serve", cwd=tmp_path)
    assert status == CANNOT_RUN
    assert "mode 0644" in said


async def test_a_second_server_on_one_record_names_the_first(tmp_path: Path) -> None:
    async with playground(tmp_path) as ground:
        first = ground.child("serve").pid
        status, said = await run("serve", cwd=tmp_path)
        assert status == CANNOT_RUN
        assert f"held by process {first}" in said
        assert not ground.child("serve").ended


async def test_a_damaged_record_is_not_started_on(tmp_path: Path) -> None:
    path = write_playground(tmp_path).store.path
    path.write_bytes(b"this is no database" * 100)
    path.chmod(0o600)
    status, said = await run("serve", cwd=tmp_path)
    assert status == CANNOT_RUN
    assert str(path) in said
    assert "Traceback" not in said


async def test_a_command_that_does_not_exist_shows_how_to_ask(tmp_path: Path) -> None:
    status, said = await run("srve", cwd=tmp_path)
    assert status == 2
    assert "turnout COMMAND" in said
    status, said = await run(cwd=tmp_path)
    assert status == 0
    assert "turnout up" in said
