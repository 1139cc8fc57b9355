"""The repository polices itself: what the architecture document claims is proved here.

Each rule is a function from source to findings, kept apart from the test that runs it over the
repository, so that a second test can show the rule a small source that breaks it. A checker
that nobody has seen fail proves nothing.
"""
