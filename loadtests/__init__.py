"""Measuring Turnout: benches with ratios, and load as SRE teams put it on."""
