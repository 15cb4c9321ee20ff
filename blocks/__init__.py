"""What a user configures once: Prefect blocks."""
