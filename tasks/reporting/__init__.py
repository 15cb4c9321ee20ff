"""Training curve, history of cycles, and the HTML report."""
