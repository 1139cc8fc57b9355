"""What a sandbox is made of: ports, accounts, and how its webhooks misbehave.

The default webhook profile is unruly on purpose (late, twice, out of order): a receiver that only
works with prompt, single, ordered webhooks works with no provider.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# Published in Stripe's description as the version it describes.
STRIPE_VERSION = "2023-08-16"

STRIPE_EVENT_TYPES = (
    "payment_intent.amount_capturable_updated",
    "payment_intent.canceled",
    "payment_intent.payment_failed",
    "payment_intent.requires_action",
    "payment_intent.succeeded",
    "charge.captured",
    "charge.expired",
    "charge.failed",
    "charge.refund.updated",
    "charge.refunded",
    "charge.succeeded",
)


@dataclass(frozen=True, slots=True)
class WebhookProfile:
    """How webhooks travel. Times in milliseconds, shares as probabilities from 0 to 1."""

    delay_p50_ms: float = 150.0
    delay_p99_ms: float = 1500.0
    duplicate_probability: float = 1.0
    duplicate_delay_ms: float = 500.0
    reorder_probability: float = 0.3
    reorder_delay_ms: float = 1000.0
    drop_probability: float = 0.0
    burst_every_ms: float = 0.0
    attempts_max: int = 12
    retry_base_ms: float = 500.0
    retry_cap_ms: float = 60_000.0
    timeout_ms: float = 10_000.0
    hold: bool = False

    @staticmethod
    def prompt() -> WebhookProfile:
        """One copy, at once, in order: for load tests that measure something else."""
        return WebhookProfile(
            delay_p50_ms=0.0,
            delay_p99_ms=0.0,
            duplicate_probability=0.0,
            reorder_probability=0.0,
        )

    @staticmethod
    def held() -> WebhookProfile:
        """Nothing leaves until the control API flushes: for tests that must not sleep."""
        return dataclasses.replace(WebhookProfile.prompt(), hold=True)


@dataclass(frozen=True, slots=True)
class StripeAccount:
    """One Stripe account: the API key names it, and its webhooks go to one endpoint."""

    name: str
    api_key: str = field(repr=False)
    webhook_secret: str = field(repr=False)
    webhook_url: str | None = None
    enabled_events: tuple[str, ...] = STRIPE_EVENT_TYPES


@dataclass(frozen=True, slots=True)
class AdyenAccount:
    """One Adyen merchant account. `hmac_key` is hexadecimal, as Adyen shows it."""

    name: str
    api_key: str = field(repr=False)
    hmac_key: str = field(repr=False)
    webhook_url: str | None = None
    webhook_username: str | None = None
    webhook_password: str | None = field(default=None, repr=False)
    capture: str = "manual"
    multi_capture: bool = False


@dataclass(frozen=True, slots=True)
class SandboxSettings:
    """Where the sandbox listens and whom it knows. Port 0 means any free port."""

    host: str = "127.0.0.1"
    stripe_port: int = 0
    adyen_port: int = 0
    control_port: int = 0
    stripe_accounts: tuple[StripeAccount, ...] = ()
    adyen_accounts: tuple[AdyenAccount, ...] = ()
    webhooks: WebhookProfile = WebhookProfile()
    # Data becomes searchable at Stripe after up to a minute; a short lag keeps tests honest.
    stripe_search_lag_s: float = 5.0
    stripe_authorization_valid_s: float = 7 * 86_400.0
    adyen_authorization_valid_s: float = 28 * 86_400.0
    # What a modification's webhook carries as merchantReference: the modification's own
    # reference where it had one, or always the payment's.
    adyen_modification_reference: str = "modification"
    # Real test systems refuse cards that are not on their lists; load tests need many cards.
    strict_test_cards: bool = False
    # The metadata keys that name a payment, in order of preference; the first one found is the
    # reference under which Stripe payments stand in the books.
    stripe_reference_keys: tuple[str, ...] = (
        "turnout_payment_id",
        "payment_id",
        "merchant_reference",
        "reference",
    )
    # What is remembered, oldest out first: about 6 kB a payment, 3 kB a key, 1 kB a charge. Only
    # the books need to reach back to the beginning of a long run.
    payments_max: int = 100_000
    idempotency_keys_max: int = 100_000
    charges_max: int = 500_000
    request_log_max: int = 20_000

    def __post_init__(self) -> None:
        if self.host not in ("127.0.0.1", "::1", "localhost"):
            raise ValueError(
                f"sandbox.host is {self.host!r}, but the sandbox has no protection of its own: "
                "bind it to 127.0.0.1"
            )
        for account in self.adyen_accounts:
            bytes.fromhex(account.hmac_key)
            if account.capture not in ("manual", "automatic"):
                raise ValueError(
                    f"adyen account {account.name!r}: capture is {account.capture!r}, "
                    "expected 'manual' or 'automatic'"
                )
        if self.adyen_modification_reference not in ("modification", "payment"):
            raise ValueError("sandbox.adyen_modification_reference: 'modification' or 'payment'")
        for kind, accounts in (("stripe", self.stripe_accounts), ("adyen", self.adyen_accounts)):
            keys = [account.api_key for account in accounts]
            if len(set(keys)) != len(keys):
                raise ValueError(f"sandbox.{kind}_accounts: two accounts share one API key")


def default_settings(webhook_base: str | None = None, **changes: Any) -> SandboxSettings:
    """Two accounts per provider with published, worthless keys.

    Args:
        webhook_base: the URL before the account's name, for example
            `http://127.0.0.1:8080/v1/webhooks`; without it no webhook is sent.
        changes: further fields of SandboxSettings.
    """

    def target(name: str) -> str | None:
        return None if webhook_base is None else f"{webhook_base.rstrip('/')}/{name}"

    stripe = tuple(
        StripeAccount(
            name=f"acc_stripe_{label}",
            api_key=f"sk_test_sandbox_{label}",
            webhook_secret=f"whsec_sandbox_{label}",
            webhook_url=target(f"acc_stripe_{label}"),
        )
        for label in ("main", "second")
    )
    adyen = tuple(
        AdyenAccount(
            name=f"Sandbox{label}ECOM",
            api_key=f"adyen_sandbox_{label.lower()}",
            hmac_key=(f"{index:02x}" * 32),
            webhook_url=target(f"acc_adyen_{label.lower()}"),
            multi_capture=label == "Second",
        )
        for index, label in enumerate(("Main", "Second"), start=0xA1)
    )
    fields: dict[str, Any] = {"stripe_accounts": stripe, "adyen_accounts": adyen}
    fields.update(changes)
    return SandboxSettings(**fields)


def profile_from_mapping(base: WebhookProfile, values: Mapping[str, Any]) -> WebhookProfile:
    """A webhook profile with some fields changed.

    Raises:
        ValueError: names the key that is unknown or of a wrong type.
    """
    kinds = {known.name: type(getattr(base, known.name)) for known in dataclasses.fields(base)}
    changes: dict[str, Any] = {}
    for name, value in values.items():
        kind = kinds.get(name)
        if kind is None:
            raise ValueError(f"webhooks.{name}: unknown; known are {', '.join(sorted(kinds))}")
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if type(value) is not kind:
            raise ValueError(
                f"webhooks.{name}: expected {kind.__name__}, got {type(value).__name__}"
            )
        changes[name] = value
    return dataclasses.replace(base, **changes)
