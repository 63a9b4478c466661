"""Runners: who makes the shards, and where. Each knows `draw_shard` and `finish_shard` and nothing of what is in them."""
