"""Brings the kernel in line with what a backend wants: devices, addresses, routes, neighbours and FDB entries."""
