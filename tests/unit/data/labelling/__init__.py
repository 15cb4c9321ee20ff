"""Unit tests of labelling."""
