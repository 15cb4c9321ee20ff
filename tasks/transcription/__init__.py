"""Offline decoding, the cache of hypotheses, and shards."""
