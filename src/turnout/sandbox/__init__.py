"""Simulators of payment providers that speak the providers' own wire formats over HTTP.

They exist so that Turnout can be run, demonstrated, loaded and broken without an account at any
provider. Each keeps its own record of money, which tests ask instead of believing ours, and a
control API makes it slow, ill, forgetful or wrong. Nothing here imports a connector: a simulator
that shared code with the connector under test would share its mistakes.
"""

from turnout.sandbox.app import Sandbox
from turnout.sandbox.settings import (
    AdyenAccount,
    SandboxSettings,
    StripeAccount,
    WebhookProfile,
)

__all__ = [
    "AdyenAccount",
    "Sandbox",
    "SandboxSettings",
    "StripeAccount",
    "WebhookProfile",
]
