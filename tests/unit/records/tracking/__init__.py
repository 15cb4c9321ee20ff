"""Unit tests of tasks/records/tracking."""
