"""Unit tests of the ward server."""
