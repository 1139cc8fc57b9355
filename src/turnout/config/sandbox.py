"""A configuration for local work: one merchant, two accounts at each simulated provider.

Every secret is random and made on the spot, in files of mode 0600 beside the record, so that no
two installations share one and nothing worth stealing stands in the configuration. What exists is
left alone: the second call with the same directory changes nothing.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

CONFIG_NAME: Final = "turnout.toml"
_SECRETS: Final = Path("var/secrets")
_API_KEY: Final = "test_api_key"
_OPERATOR_KEY: Final = "operator_key"
_KEY_BYTES: Final = 24
_HMAC_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class SandboxConfig:
    """What there is now.

    Attributes:
        path: the turnout.toml.
        api_key_path: the test API key in plain text, for whoever calls from this machine.
        made: the files that were not there before.
    """

    path: Path
    api_key_path: Path
    made: tuple[Path, ...]


def write_sandbox_config(directory: Path, random_bytes: Callable[[int], bytes]) -> SandboxConfig:
    """Makes turnout.toml and its secrets in a directory, as far as they are missing.

    Args:
        directory: where turnout.toml goes; secrets go to var/secrets in it.
        random_bytes: makes that many random bytes.

    Raises:
        OSError: a file cannot be written.
    """
    made: list[Path] = []
    secrets = directory / _SECRETS
    secrets.mkdir(mode=0o700, parents=True, exist_ok=True)
    contents = {f"{name}.api_key": f"sk_test_{random_bytes(_KEY_BYTES).hex()}" for name in _STRIPE}
    contents |= {f"{name}.webhook": f"whsec_{random_bytes(_KEY_BYTES).hex()}" for name in _STRIPE}
    contents |= {f"{name}.api_key": f"AQE{random_bytes(_KEY_BYTES).hex()}" for name in _ADYEN}
    # Adyen shows its HMAC keys in hexadecimal.
    contents |= {f"{name}.webhook": random_bytes(_HMAC_BYTES).hex().upper() for name in _ADYEN}
    contents[_API_KEY] = f"sk_test_{random_bytes(_KEY_BYTES).hex()}"
    contents[_OPERATOR_KEY] = f"sk_operator_{random_bytes(_KEY_BYTES).hex()}"
    for name, content in contents.items():
        _write(secrets / name, content + "\n", 0o600, made)
    # From the file and not from what was drawn here: the key may be older than its hash.
    for name in (_API_KEY, _OPERATOR_KEY):
        key = (secrets / name).read_text("ascii").strip()
        digest = hashlib.sha256(key.encode()).hexdigest()
        _write(secrets / f"{name}.sha256", digest + "\n", 0o600, made)
    path = directory / CONFIG_NAME
    _write(path, _TEMPLATE, 0o644, made)
    return SandboxConfig(path, secrets / _API_KEY, tuple(made))


def _write(path: Path, content: str, mode: int, made: list[Path]) -> None:
    """Writes a new file whole or not at all, and leaves an old one alone."""
    if path.exists():
        return
    draft = path.with_name(f".{path.name}.{os.getpid()}.new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
        try:
            os.link(draft, path)
        except FileExistsError:
            return
    finally:
        draft.unlink(missing_ok=True)
    made.append(path)


_STRIPE: Final = ("acc_stripe_main", "acc_stripe_second")
_ADYEN: Final = ("acc_adyen_main", "acc_adyen_second")

_TEMPLATE: Final = """\
# Turnout for local work, made by `turnout init`: simulated providers, test money, loopback only.
# Every option with its meaning and default: docs/operating/configuration.md. An option of a
# section may also come from the environment: TURNOUT_SERVER__PORT=50052 wins over this file.
# Relative paths start from the directory of this file.

[server]
host = "127.0.0.1"
port = 50051

[edge]
host = "127.0.0.1"
port = 8080

[store]
path = "var/record.db"

[vault]
path = "var/vault.db"
# Made at the first start. Without it the vault is noise: back it up apart from the vault.
master_key_path = "var/keys/master.key"
# Invented facts about the providers' public test cards; name your own file in bin_file_path.
sandbox_bins = true

[sandbox]
enabled = true
control_port = 7100
stripe_port = 7101
adyen_port = 7102

# A merchant is a business that is paid; a profile is its settings for one shop or region.
[[merchants]]
id = "mer_demo"
organisation = "org_demo"
name = "Demo Merchant"
default_profile = "pro_demo"

[[profiles]]
id = "pro_demo"
merchant = "mer_demo"
# Accounts of one tier compete by how likely they approve; the next tier is tried after them.
tiers = [["acc_stripe_main", "acc_adyen_main"], ["acc_stripe_second", "acc_adyen_second"]]
# A few published cards stand for all customers, and no scheme would have one tried so often.
scheme_rules_in_test = false

# The same, but test payments keep to the schemes' rules about trying a card again, as live ones.
[[profiles]]
id = "pro_schemes"
merchant = "mer_demo"
tiers = [["acc_stripe_main", "acc_adyen_main"], ["acc_stripe_second", "acc_adyen_second"]]

# Secrets never stand in this file: they are named as file:PATH or env:NAME.
[[accounts]]
id = "acc_stripe_main"
merchant = "mer_demo"
provider = "stripe"
base_url = "http://127.0.0.1:7101"
credentials = { api_key = "file:var/secrets/acc_stripe_main.api_key" }
webhook_secrets = ["file:var/secrets/acc_stripe_main.webhook"]
# What an approved payment costs; a profile's objective says whether that counts. Figures invented.
fees = { bps = 150, fixed_minor = 25, cross_border_bps = 100, home_country = "DE" }

[[accounts]]
id = "acc_stripe_second"
merchant = "mer_demo"
provider = "stripe"
base_url = "http://127.0.0.1:7101"
credentials = { api_key = "file:var/secrets/acc_stripe_second.api_key" }
webhook_secrets = ["file:var/secrets/acc_stripe_second.webhook"]

[[accounts]]
id = "acc_adyen_main"
merchant = "mer_demo"
provider = "adyen"
base_url = "http://127.0.0.1:7102"
credentials = { api_key = "file:var/secrets/acc_adyen_main.api_key" }
webhook_secrets = ["file:var/secrets/acc_adyen_main.webhook"]
settings = { merchant_account = "SandboxMainECOM" }
# Interchange++: our share, and beside it the first line that fits.
[accounts.fees]
bps = 60
fixed_minor = 11
home_country = "DE"
lines = [
    { funding = "debit", cross_border = false, bps = 20 },
    { funding = "credit", cross_border = false, bps = 30 },
    { bps = 150 },
]

[[accounts]]
id = "acc_adyen_second"
merchant = "mer_demo"
provider = "adyen"
base_url = "http://127.0.0.1:7102"
credentials = { api_key = "file:var/secrets/acc_adyen_second.api_key" }
webhook_secrets = ["file:var/secrets/acc_adyen_second.webhook"]
settings = { merchant_account = "SandboxSecondECOM" }
multi_capture = true

# The key itself is in var/secrets/test_api_key; Turnout keeps and compares only its SHA-256.
[[api_keys]]
id = "key_demo_test"
merchant = "mer_demo"
sha256 = "file:var/secrets/test_api_key.sha256"
live = false

# For whoever works on payments that wait for a person; the key is in var/secrets/operator_key.
[[operator_keys]]
id = "opr_local"
name = "whoever works on this machine"
sha256 = "file:var/secrets/operator_key.sha256"
"""
