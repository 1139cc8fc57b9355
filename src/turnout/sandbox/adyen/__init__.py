"""A simulator of Adyen: Checkout payments, modifications and standard webhooks."""
