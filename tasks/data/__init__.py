"""A cycle folder and its rows: manifest, audio, preflight, split, training set."""
