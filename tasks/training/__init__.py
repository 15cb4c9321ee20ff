"""SFT: recipes, Hydra overrides, the run and its record."""
