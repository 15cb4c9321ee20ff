"""The base model that ships with the project; see MODEL_CARD.md."""
