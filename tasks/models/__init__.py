"""Base models: catalogue, download, .nemo archive, text style, Riva's decoder targets."""
