"""Measurements that a reader can repeat: each program prints what it ran on and what came out."""
