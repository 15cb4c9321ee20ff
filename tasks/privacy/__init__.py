"""Let a recording go: find every trace of it, remove it whole, and say what stays."""
