"""With a Docker Engine or Docker Compose."""
