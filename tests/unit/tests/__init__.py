"""Unit tests of tests."""
