"""Prefect blocks: settings that a user saves once."""
