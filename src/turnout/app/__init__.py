"""The composition root: the only place where an adapter meets a service."""
