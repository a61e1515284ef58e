"""How this host comes to its subnet and keeps it: leases, their store, and the lease file."""
