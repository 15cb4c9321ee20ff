"""Unit tests of blocks."""
