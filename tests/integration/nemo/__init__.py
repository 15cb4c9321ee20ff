"""With NeMo and torch: trainings, decodings, models."""
