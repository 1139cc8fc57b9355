"""A deterministic simulation of the whole: one seed is one world, and the same one every time.

Real: orchestration, domain, router, vault, connectors and encoder. Simulated: time, the network,
the disk and the providers, each of which may fail as the seed says. See docs/faults.md.
"""
