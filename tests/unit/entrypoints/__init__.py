"""Unit tests of entrypoints."""
