"""Bring a clinic's own recordings and transcripts into a cycle folder; one module a format."""
