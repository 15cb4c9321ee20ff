"""Unit tests of transcription."""
