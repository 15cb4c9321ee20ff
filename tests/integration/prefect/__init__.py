"""With a Prefect server of their own."""
