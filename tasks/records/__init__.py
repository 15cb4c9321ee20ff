"""What is kept of a cycle: run.json, costs, stores, archive and inbox."""
