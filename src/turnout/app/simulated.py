"""The operator's settings turned into the sandbox's: which providers are simulated for whom."""

from __future__ import annotations

from urllib.parse import urlsplit

from turnout.app.places import edge_url
from turnout.config import Settings, is_loopback
from turnout.domain.accounts import Account
from turnout.sandbox import AdyenAccount, SandboxSettings, StripeAccount


def sandbox_settings(settings: Settings) -> SandboxSettings:
    """The simulated providers, with exactly the accounts that point at them.

    So a key that Turnout would send wrongly is refused here as it would be at the provider, and
    webhooks are signed with the secrets that the accounts expect.
    """
    sandbox = settings.sandbox
    webhooks = f"{edge_url(settings)}/v1/webhooks"
    stripe: dict[str, StripeAccount] = {}
    adyen: dict[str, AdyenAccount] = {}
    for account in settings.accounts.values():
        api_key = account.credentials.get("api_key")
        if account.live or api_key is None or not account.webhook_secrets:
            continue
        secret = account.webhook_secrets[0].reveal()
        url = f"{webhooks}/{account.account_id}"
        if account.provider == "stripe" and _points_at(account, sandbox.stripe_port):
            stripe.setdefault(
                api_key.reveal(),
                StripeAccount(account.account_id, api_key.reveal(), secret, url),
            )
        elif account.provider == "adyen" and _points_at(account, sandbox.adyen_port):
            adyen.setdefault(
                api_key.reveal(),
                AdyenAccount(
                    account.settings.get("merchant_account", ""),
                    api_key.reveal(),
                    secret,
                    url,
                    multi_capture=account.multi_capture,
                ),
            )
    return SandboxSettings(
        stripe_port=sandbox.stripe_port,
        adyen_port=sandbox.adyen_port,
        control_port=sandbox.control_port,
        stripe_accounts=tuple(stripe.values()),
        adyen_accounts=tuple(adyen.values()),
    )


def _points_at(account: Account, port: int) -> bool:
    parts = urlsplit(account.base_url)
    return parts.port == port and is_loopback(parts.hostname or "")
