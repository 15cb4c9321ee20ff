"""Unit tests of tasks/airgap."""
