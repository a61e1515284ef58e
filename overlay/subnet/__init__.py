"""How this host acquires its subnet and renews it: leases, what the daemon wants from a store, and the lease file."""
