"""The tests: every test's name and docstring say one sentence of behaviour."""
