"""The base models that ship with the project; see MODEL_CARD.md and the cards of the two others."""
