"""Turnout: payment orchestration. One integration, the best provider for every payment."""
