"""Tests of tasks/privacy."""
