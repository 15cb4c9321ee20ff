"""Unit tests of gpu_hosts."""
