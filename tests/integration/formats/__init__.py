"""Corpora that other tools wrote."""
