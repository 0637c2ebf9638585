"""Private sums, the one door out of a device; the queries that are sums; and what the server makes of what it opens."""
