"""A small server that transcribes with an exported model: for trying it with a real client."""
