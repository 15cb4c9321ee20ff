"""Helpers of the tests: real things made small, servers and hosts that stand in for others."""
