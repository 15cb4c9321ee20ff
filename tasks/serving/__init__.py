"""Hand-off to Riva, and whether served and offline hypotheses agree."""
