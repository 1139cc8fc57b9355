"""Adapters to providers' APIs: one folder per provider, one HTTP client for all of them."""
