"""What every test shares: how hypothesis runs and how a failing run is repeated."""

import os
import secrets

import pytest
from hypothesis import HealthCheck, settings

# No per-example deadline: the machines that run this are small and shared, so a slow example
# says nothing. print_blob gives the exact failing example beside the seed.
settings.register_profile(
    "default",
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("thorough", settings.get_profile("default"), max_examples=2_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Draw the run's seed here, so that the header can always name it."""
    if config.getoption("hypothesis_seed", default=None) is None:
        config.option.hypothesis_seed = secrets.randbits(32)


def pytest_report_header(config: pytest.Config) -> str:
    seed = config.getoption("hypothesis_seed")
    return f"hypothesis seed: {seed} (repeat with: pytest --hypothesis-seed={seed})"
