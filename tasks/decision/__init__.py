"""Gate, guardrail, significance, verdict and grow plan; pure."""
