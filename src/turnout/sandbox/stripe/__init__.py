"""A simulator of Stripe: PaymentIntents, PaymentMethods, Refunds, Charges and Events."""
