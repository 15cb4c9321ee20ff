"""Unit tests of importers."""
