"""Bugs planted on purpose: a zero means nothing unless each of them is caught."""
