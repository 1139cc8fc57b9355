"""turnout.toml is read whole, and everything wrong with it is told at once, by its path."""

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from turnout.config import ConfigError, Settings, load, write_sandbox_config
from turnout.domain.accounts import AmountLimit, Secret

KEY_HASH = "ab" * 32

SOUND = """
[[merchants]]
id = "mer_a"
organisation = "org_a"
name = "A"
default_profile = "pro_a"

[[profiles]]
id = "pro_a"
merchant = "mer_a"
tiers = [["acc_a"], ["acc_b"]]

[[accounts]]
id = "acc_a"
merchant = "mer_a"
provider = "stripe"
base_url = "https://api.stripe.example/"
credentials = { api_key = "env:STRIPE_KEY" }
webhook_secrets = ["env:NEW_SECRET", "file:secrets/old"]
networks = ["visa", "mastercard"]
currencies = ["EUR"]
countries = ["DE"]
limits = { EUR = { min_minor = 50, max_minor = 100000 } }
timeout_ms = 9000

[[accounts]]
id = "acc_b"
merchant = "mer_a"
provider = "adyen"
base_url = "http://127.0.0.1:7102"

[[api_keys]]
id = "key_a"
merchant = "mer_a"
sha256 = "ABABABABABABABABABABABABABABABABABABABABABABABABABABABABABABABAB"
"""
ENVIRON = {"STRIPE_KEY": "sk_test_canary", "NEW_SECRET": "whsec_canary"}


@pytest.fixture
def room(tmp_path: Path) -> Path:
    (tmp_path / "secrets").mkdir()
    old = tmp_path / "secrets/old"
    old.write_text(" whsec_old\n")
    old.chmod(0o600)
    return tmp_path


def read(room: Path, text: str, **environ: str) -> Settings:
    path = room / "turnout.toml"
    path.write_text(text, encoding="utf-8")
    return load(path, {**ENVIRON, **environ})


def problems(room: Path, text: str, **environ: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        read(room, text, **environ)
    return caught.value.problems


def test_a_sound_file_becomes_the_domains_types(room: Path) -> None:
    settings = read(room, SOUND)
    account = settings.accounts["acc_a"]
    assert account.base_url == "https://api.stripe.example"
    assert account.credentials["api_key"].reveal() == "sk_test_canary"
    assert [one.reveal() for one in account.webhook_secrets] == ["whsec_canary", "whsec_old"]
    assert account.networks == {"visa", "mastercard"}
    assert account.limits == {"EUR": AmountLimit(50, 100_000)}
    assert (account.timeout_ms, account.connect_timeout_ms) == (9_000, 2_000)
    assert settings.profiles["pro_a"].tiers == (("acc_a",), ("acc_b",))
    assert settings.merchants["mer_a"].default_profile_id == "pro_a"
    assert settings.api_keys[KEY_HASH].key_id == "key_a"
    assert not settings.api_keys[KEY_HASH].live
    assert settings.store.path == room / "var/record.db"
    assert settings.server.port == 50_051
    assert settings.warnings == ()


def test_an_empty_file_is_sound_and_serves_nobody(room: Path) -> None:
    settings = read(room, "")
    assert not settings.accounts
    assert not settings.api_keys


def test_the_environment_wins_over_the_file(room: Path) -> None:
    settings = read(
        room,
        "[server]\nport = 1\nhost = '127.0.0.1'\n",
        TURNOUT_SERVER__PORT="50052",
        TURNOUT_VAULT__PATH="/data/vault.db",
        TURNOUT_SANDBOX__ENABLED="true",
        TURNOUT_RECOVERY__INTERVALS_S="1,2.5",
        TURNOUT_ROUTING__SAVE_INTERVAL_S="2",
        TURNOUT_SPECS="/somewhere",
    )
    assert settings.server.port == 50_052
    assert settings.vault.path == Path("/data/vault.db")
    assert settings.sandbox.enabled is True
    assert settings.recovery.intervals_s == (1.0, 2.5)
    assert settings.routing.save_interval_s == 2.0


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("TURNOUT_SERVR__PORT", "1", "there is no section servr; did you mean server?"),
        ("TURNOUT_SERVER__PROT", "1", "there is no option server.prot; did you mean port?"),
        ("TURNOUT_SERVER__PORT", "x", "must be a whole number"),
        ("TURNOUT_SANDBOX__ENABLED", "yes", "must be true or false"),
        ("TURNOUT_ROUTING__HEALTH", "1", "cannot be set from the environment"),
        ("TURNOUT_RECOVERY__INTERVALS_S", "1,x", "must be a number"),
    ],
)
def test_a_wrong_variable_is_named(room: Path, variable: str, value: str, message: str) -> None:
    (found,) = problems(room, SOUND, **{variable: value})
    assert found.startswith(f"{variable}: {message}")


def test_limits_hold_for_the_environment_too(room: Path) -> None:
    assert problems(room, SOUND, TURNOUT_SERVER__PORT="70000") == (
        "server.port: is 70,000; the most is 65,535",
    )


FAULTS: list[tuple[str, str, str]] = [
    # What is changed, into what, and how the one problem begins.
    ("[[merchants]]", "[servr]\n[[merchants]]", "servr: there is no such section; did you mean"),
    (
        "[[merchants]]",
        "[server]\nprot=1\n[[merchants]]",
        "server.prot: there is no such option; d",
    ),
    (
        "[[merchants]]",
        "[server]\nport='1'\n[[merchants]]",
        "server.port: must be a whole number, n",
    ),
    ("[[merchants]]", "[server]\nport=true\n[[merchants]]", "server.port: must be a whole number"),
    ("[[merchants]]", "[server]\nport=1.5\n[[merchants]]", "server.port: must be a whole number"),
    ("[[merchants]]", "[sandbox]\nenabled=1\n[[merchants]]", "sandbox.enabled: must be true or"),
    (
        "[[merchants]]",
        "[log]\nformat='xml'\n[[merchants]]",
        "log.format: is 'xml'; known are auto",
    ),
    (
        "[[merchants]]",
        "[log]\nlevel='warn'\n[[merchants]]",
        "log.level: is 'warn'; did you mean wa",
    ),
    ("[[merchants]]", "[vault]\npath=''\n[[merchants]]", "vault.path: must name a file"),
    (
        "[[merchants]]",
        "[routing.health]\nx='1'\n[[merchants]]",
        "routing.health.x: must be a numb",
    ),
    (
        "[[merchants]]",
        "[routing.health]\nx=nan\n[[merchants]]",
        "routing.health.x: must be a numb",
    ),
    (
        "[[merchants]]",
        "[recovery]\nintervals_s=[0]\n[[merchants]]",
        "recovery.intervals_s[0]: is 0",
    ),
    ("[[merchants]]", "[server]\nhost='0.0.0.0'\n[[merchants]]", "server.host: 0.0.0.0 can be re"),
    ("[[merchants]]", "[edge]\nhost='::'\n[[merchants]]", "edge.host: :: can be reached from"),
    (
        "[[merchants]]",
        "[edge]\nhost='pay.example'\n[[merchants]]",
        "edge.host: pay.example can be",
    ),
    ("[[merchants]]", "[operations]\nhost='10.0.0.1'\n[[merchants]]", "operations.host: 10.0.0.1"),
    (
        "[[merchants]]",
        "[vault]\nbin_file_path='no'\n[[merchants]]",
        "vault.bin_file_path: there is",
    ),
    (
        "[[merchants]]",
        "[edge]\ntls_key_path='secrets/old'\n[[merchants]]",
        "edge.tls_certificate_p",
    ),
    ('"mer_a"\norganisation', '"a"\norganisation', "merchants[0].id: is 'a'; an id here is mer_"),
    ('"org_a"', '"a"', "merchants[0].organisation: is 'a'; an id here is org_"),
    (
        'default_profile = "pro_a"',
        'default_profile = "pro_b"',
        "merchants[0].default_profile: mer_",
    ),
    ('name = "A"', "", "merchants[0].name: is missing: For people."),
    (
        '["acc_b"]',
        '["acc_c"]',
        "profiles[0].tiers[1][0]: there is no account 'acc_c'; did you mea",
    ),
    ('["acc_b"]', '["acc_a"]', "profiles[0].tiers[1][0]: acc_a stands in this profile twice"),
    ('[["acc_a"], ["acc_b"]]', "[[]]", "profiles[0].tiers: names no account"),
    (
        '[["acc_a"], ["acc_b"]]',
        '["acc_a"]',
        "profiles[0].tiers[0]: must be an array, not a string",
    ),
    ('id = "acc_b"', 'id = "acc_a"', "accounts[1].id: acc_a is the id of accounts[0] too"),
    ('"env:STRIPE_KEY"', '"sk_live_canary"', "accounts[0].credentials.api_key: a secret may not"),
    (
        '"env:STRIPE_KEY"',
        '"env:NOT_SET"',
        "accounts[0].credentials.api_key: the environment varia",
    ),
    ('"env:STRIPE_KEY"', '"env:"', "accounts[0].credentials.api_key: env: must be followed by"),
    ('"env:STRIPE_KEY"', '"file:none"', "accounts[0].credentials.api_key: "),
    ('"env:STRIPE_KEY"', '"file:"', "accounts[0].credentials.api_key: file: must be followed by"),
    ('"env:STRIPE_KEY"', "7", "accounts[0].credentials.api_key: a secret may not"),
    (
        '"file:secrets/old"',
        '"env:NEW_SECRET", "env:NEW_SECRET"',
        "accounts[0].webhook_secrets: has",
    ),
    (
        '"https://api.stripe.example/"',
        '"http://api.stripe.example"',
        "accounts[0].base_url: is http",
    ),
    ('"https://api.stripe.example/"', '"https://u:p@h"', "accounts[0].base_url: must be like"),
    ('"https://api.stripe.example/"', '"https://h?x=1"', "accounts[0].base_url: must be like"),
    ('"https://api.stripe.example/"', '"https://[bad"', "accounts[0].base_url: must be like"),
    ('"https://api.stripe.example/"', '"ftp://h"', "accounts[0].base_url: is ftp://h"),
    (
        '["visa", "mastercard"]',
        '["vissa"]',
        "accounts[0].networks: 'vissa' is no card network; di",
    ),
    ('["EUR"]', '["EUX"]', "accounts[0].currencies: 'EUX' is no active ISO 4217 currency"),
    ('["DE"]', '["UK"]', "accounts[0].countries: 'UK' is no ISO 3166-1 alpha-2 country"),
    ("EUR = { min_minor = 50", "EUX = { min_minor = 50", "accounts[0].limits: 'EUX' is no active"),
    (
        "min_minor = 50",
        "min_minor = 5000000",
        "accounts[0].limits.EUR: min_minor and max_minor mus",
    ),
    (
        "min_minor = 50",
        "mn_minor = 50",
        "accounts[0].limits.EUR: has an unknown key mn_minor; did",
    ),
    (
        "timeout_ms = 9000",
        "timeout_ms = 1000",
        "accounts[0].connect_timeout_ms: is above timeout_m",
    ),
    ("timeout_ms = 9000", "timeout_ms = 9", "accounts[0].timeout_ms: is 9; the least is 100 ms"),
    ('"adyen"', '"Adyen!"', "accounts[1].provider: 'Adyen!' is not a connector's name"),
    (
        'merchant = "mer_a"\nprovider = "adyen"',
        'provider = "adyen"',
        "accounts[1].merchant: is mis",
    ),
    ("ABAB", "XX", "api_keys[0].sha256: is not a SHA-256"),
    ("[[api_keys]]", "[api_keys]", "api_keys: must be an array of tables: write [[api_keys]]"),
]


@pytest.mark.parametrize(("old", "new", "message"), FAULTS)
def test_each_fault_is_told_with_its_path_and_no_secret(
    room: Path, old: str, new: str, message: str
) -> None:
    assert old in SOUND
    found = problems(room, SOUND.replace(old, new, 1))
    assert any(one.startswith(message) for one in found), found
    assert "canary" not in str(found)


def test_many_faults_are_told_together(room: Path) -> None:
    text = SOUND.replace('"EUR"', '"EUX"').replace('name = "A"', "name = 1") + "[log]\nlvel = 1\n"
    found = problems(room, text)
    assert {one.split(":")[0] for one in found} == {
        "merchants[0].name",
        "accounts[0].currencies",
        "log.lvel",
    }


def test_accounts_of_another_merchant_are_refused(room: Path) -> None:
    text = SOUND.replace(
        'merchant = "mer_a"\nprovider = "adyen"', 'merchant = "mer_x"\nprovider="a"'
    )
    found = problems(room, text)
    assert "accounts[1].merchant: there is no merchant 'mer_x'; did you mean mer_a?" in found
    assert "profiles[0].tiers[1][0]: acc_b belongs to another merchant" in found


def test_test_and_live_never_mix(room: Path) -> None:
    text = SOUND.replace("timeout_ms = 9000", "live = true")
    (found,) = problems(room, text)
    assert found.startswith("profiles[0].tiers: has test and live accounts, which never mix")


def test_a_key_that_can_pay_nothing_by_default_is_warned_of(room: Path) -> None:
    text = SOUND.replace('["acc_a"], ["acc_b"]', '["acc_a"]').replace(
        "timeout_ms = 9000", "live=true"
    )
    (warning,) = read(room, text).warnings
    assert warning.startswith("api_keys[0]: key_a is a test key, but pro_a, the default profile")


def test_a_live_account_is_never_on_this_machine(room: Path) -> None:
    live = SOUND.replace('provider = "adyen"', 'provider = "adyen"\nlive = true')
    assert any("base_url: is http://127.0.0.1" in one for one in problems(room, live))
    secure = live.replace("http://127.0.0.1", "https://127.0.0.1")
    assert any("cannot be on this machine" in one for one in problems(room, secure))


def test_invented_facts_have_no_place_beside_live_accounts(room: Path) -> None:
    text = SOUND.replace('["acc_a"], ["acc_b"]', '["acc_a"]').replace(
        "timeout_ms = 9000", "live=true"
    )
    assert read(room, text).accounts["acc_a"].live
    (found,) = problems(room, text + "[vault]\nsandbox_bins = true\n")
    assert found.startswith("vault.sandbox_bins: invented facts")


def test_a_key_in_place_of_its_hash_is_refused_without_being_quoted(room: Path) -> None:
    text = SOUND.replace(KEY_HASH.upper(), "sk_test_canary_in_the_wrong_place")
    (found,) = problems(room, text)
    assert found.startswith("api_keys[0].sha256: is a key and not its hash")
    assert "canary" not in found


def test_one_hash_is_one_key(room: Path) -> None:
    again = f'[[api_keys]]\nid = "key_b"\nmerchant = "mer_a"\nsha256 = "{KEY_HASH}"\n'
    assert problems(room, SOUND + again) == ("api_keys[1].sha256: is the hash of key_a too",)


def test_plaintext_in_the_open_is_possible_by_name_only(room: Path) -> None:
    bare = "[server]\nhost = '0.0.0.0'\n"
    assert problems(room, bare)[0].startswith("server.host: 0.0.0.0 can be reached")
    named = read(room, bare + "allow_plaintext_non_loopback = true\n")
    assert named.server.host == "0.0.0.0"
    for name in ("cert.pem", "key.pem"):
        (room / name).write_text("x")
    tls = "tls_certificate_path = 'cert.pem'\ntls_key_path = 'key.pem'\n"
    edge = "[edge]\nupstream_ca_path = 'cert.pem'\n"
    assert read(room, bare + tls + edge).server.tls_key_path == room / "key.pem"
    assert problems(room, bare + tls)[0].startswith("edge.upstream_ca_path: is missing")


def test_deadlines_must_not_cross(room: Path) -> None:
    text = (
        "[server]\ndefault_deadline_ms = 5000\nmax_deadline_ms = 4000\nanswer_margin_ms = 5000\n"
    )
    assert [one.split(":")[0] for one in problems(room, text)] == [
        "server.default_deadline_ms",
        "server.answer_margin_ms",
    ]


def test_a_file_that_is_missing_or_no_toml_is_told(room: Path) -> None:
    with pytest.raises(ConfigError, match="turnout init"):
        load(room / "none.toml", {})
    (found,) = problems(room, "[server\n")
    assert found.startswith("not TOML: ")
    assert "line 1" in found


@pytest.mark.parametrize("content", ["", "  \n", "two\nlines", "\x07bell"])
def test_a_secret_is_one_line_of_text(room: Path, content: str) -> None:
    (room / "secrets/old").write_text(content)
    (found,) = problems(room, SOUND)
    assert found.startswith("accounts[0].webhook_secrets[1]: file:secrets/old ")


def test_a_secret_file_is_text_and_small(room: Path) -> None:
    (room / "secrets/old").write_bytes(b"\xff\xfe")
    assert "not text in UTF-8" in problems(room, SOUND)[0]
    (room / "secrets/old").write_bytes(b"x" * 70_000)
    assert "larger than" in problems(room, SOUND)[0]


def test_a_secret_that_everybody_can_read_is_warned_of(room: Path) -> None:
    (room / "secrets/old").chmod(0o644)
    (warning,) = read(room, SOUND).warnings
    assert warning.startswith("accounts[0].webhook_secrets[1]: ")
    assert "chmod 600" in warning


def test_settings_show_no_secret(room: Path) -> None:
    settings = read(room, SOUND)
    body = settings.public_body()
    for secret in ("sk_test_canary", "whsec_canary", "whsec_old", KEY_HASH):
        assert secret not in repr(settings.accounts)
        assert secret.encode() not in body
    assert b"env:STRIPE_KEY" in body


def test_the_digest_is_of_what_decides_about_payments(room: Path) -> None:
    digest = read(room, SOUND).digest()
    same: list[tuple[str, dict[str, Any]]] = [
        (SOUND, {}),
        (SOUND, {"STRIPE_KEY": "sk_test_rotated"}),
        (SOUND + "[server]\nport = 1\n", {}),
        (SOUND.replace('["visa", "mastercard"]', '["mastercard", "visa"]'), {}),
    ]
    for text, environ in same:
        assert read(room, text, **environ).digest() == digest
    for text in (
        SOUND.replace("timeout_ms = 9000", "timeout_ms = 9001"),
        SOUND.replace('[["acc_a"], ["acc_b"]]', '[["acc_b"], ["acc_a"]]'),
        SOUND.replace("env:STRIPE_KEY", "env:NEW_SECRET"),
        SOUND + "[routing.health]\nprior_approval = 0.9\n",
    ):
        assert read(room, text).digest() != digest


def test_what_needs_a_restart_is_told(room: Path) -> None:
    settings = read(room, SOUND)
    newer = read(
        room,
        SOUND.replace("9000", "9001")
        + "[server]\nport = 1\n[routing.choice]\nx = 1\n[log]\nlevel='debug'",
    )
    assert settings.restart_needed(newer) == ["server", "log"]
    assert settings.restart_needed(settings) == []


def test_a_secret_hides_from_every_way_of_showing() -> None:
    secret = Secret("canary")
    assert "canary" not in f"{secret} {secret!r} {[secret]}"


def test_the_sandbox_configuration_loads_and_is_made_once(tmp_path: Path) -> None:
    made = write_sandbox_config(tmp_path, os.urandom)
    settings = load(made.path, {})
    assert sorted(settings.accounts) == [
        "acc_adyen_main",
        "acc_adyen_second",
        "acc_stripe_main",
        "acc_stripe_second",
    ]
    assert settings.sandbox.enabled
    assert settings.warnings == ()
    assert not any(account.live for account in settings.accounts.values())
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert {path.stat().st_mode & 0o777 for path in before if path.parent.name == "secrets"} == {
        0o600
    }
    assert made.api_key_path.parent.stat().st_mode & 0o077 == 0
    assert write_sandbox_config(tmp_path, os.urandom).made == ()
    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert after == before


def test_the_sandbox_key_opens_the_sandbox_configuration(tmp_path: Path) -> None:
    made = write_sandbox_config(tmp_path, os.urandom)
    key = made.api_key_path.read_text().strip()
    assert key.startswith("sk_test_")
    digest = hashlib.sha256(key.encode()).hexdigest()
    assert load(made.path, {}).api_keys[digest].merchant_id == "mer_demo"
    # What is lost is made again, and fits what is left.
    (tmp_path / "var/secrets/test_api_key.sha256").unlink()
    (tmp_path / "var/secrets/acc_stripe_main.webhook").unlink()
    assert len(write_sandbox_config(tmp_path, os.urandom).made) == 2
    assert digest in load(made.path, {}).api_keys


def test_no_two_sandboxes_share_a_secret(tmp_path: Path) -> None:
    rooms = [tmp_path / "a", tmp_path / "b"]
    secrets = []
    for one in rooms:
        write_sandbox_config(one, os.urandom)
        secrets += [path.read_text() for path in (one / "var/secrets").iterdir()]
    assert len(secrets) == len(set(secrets)) == 24
