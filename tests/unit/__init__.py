"""Tests without a process, a network or torch: seconds."""
