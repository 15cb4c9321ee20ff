"""Unit tests of the Slurm runtime."""
