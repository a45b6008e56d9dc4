"""Monte-Carlo productions: what is planned, how shards are made, and what is collected of them."""
