"""With a real browser."""
