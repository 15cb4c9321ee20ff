"""Unit tests of asr_flywheel."""
