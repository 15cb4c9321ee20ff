"""Unit tests of lint."""
