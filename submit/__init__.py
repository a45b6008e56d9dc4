"""Submitter: plans, shards and hands any Luigi root task to a batch scheduler (not yet written)."""
