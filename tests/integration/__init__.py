"""Tests with real programs, a folder for each kind."""
