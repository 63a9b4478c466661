"""Runners distribute the making of shards over processes. They know nothing about a shard's content."""
