"""Unit tests of runtimes."""
