"""Unit tests of serving outside of Riva."""
