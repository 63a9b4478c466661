"""Runners: who makes the shards, and where. Each knows how to make a shard and nothing of what is in it."""
