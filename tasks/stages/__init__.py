"""Stages on a cycle folder, shared by the flow and the command line."""
