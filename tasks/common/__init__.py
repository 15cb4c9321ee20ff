"""Errors, atomic writes, hashing and child processes; imports nothing of the project."""
