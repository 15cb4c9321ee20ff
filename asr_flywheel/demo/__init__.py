"""A self-contained demonstration cycle: seeded, synthetic clinical speech.

This stands in for what the build stage would hand over, so that the tuning stage can be tried,
tested and shown without data, accounts or a network. It is not the build stage: it has one
synthetic speaker, sixty terms, and no dictionary look-up.
"""
