"""Wiring: a flow reads like the table of stages; the domain is in tasks/."""
