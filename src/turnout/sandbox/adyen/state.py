"""What one Adyen merchant account holds."""

from __future__ import annotations

from collections.abc import Callable

from turnout.sandbox.adyen.model import Payment
from turnout.sandbox.adyen.notifications import Notifier
from turnout.sandbox.books import Books
from turnout.sandbox.ids import IdMint
from turnout.sandbox.settings import AdyenAccount, SandboxSettings
from turnout.sandbox.webhooks import WebhookCourier
from turnout.sandbox.wire import Clock


class AccountState:
    """Payments of one merchant account, found by pspReference and by our reference."""

    def __init__(
        self,
        account: AdyenAccount,
        settings: SandboxSettings,
        books: Books,
        mint: IdMint,
        courier: WebhookCourier,
        clock: Clock,
        page_url: Callable[[], str],
    ) -> None:
        self.account = account
        self.settings = settings
        self.books = books
        self.mint = mint
        self.clock = clock
        self.page_url = page_url
        self.notifier = Notifier(account, courier, clock)
        self.payments: dict[str, Payment] = {}
        self.by_reference: dict[str, list[Payment]] = {}
        self.by_redirect: dict[str, Payment] = {}

    def keep(self, payment: Payment) -> None:
        """Remember a payment; the oldest goes when there are too many."""
        self.payments[payment.psp_reference] = payment
        self.by_reference.setdefault(payment.reference, []).append(payment)
        if len(self.payments) > self.settings.payments_max:
            self._forget(next(iter(self.payments)))

    def _forget(self, psp_reference: str) -> None:
        payment = self.payments.pop(psp_reference)
        if payment.redirect_result is not None:
            self.by_redirect.pop(payment.redirect_result, None)
        rest = [p for p in self.by_reference.get(payment.reference, ()) if p is not payment]
        if rest:
            self.by_reference[payment.reference] = rest
        else:
            self.by_reference.pop(payment.reference, None)
