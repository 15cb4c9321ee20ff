"""Records of a cycle: run.json, costs, stores, archive and inbox."""
