"""What is kept: stage folders, files that are there whole or not at all, keys by content, shards, tables."""
