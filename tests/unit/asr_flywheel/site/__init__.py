"""The local Prefect site."""
