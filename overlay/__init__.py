"""The daemon tulled: gives this host its subnet of the overlay and keeps the tunnels to all other hosts right.

Decides in pure modules (network, subnets, tenancy, backends, drift, firewall), acts in few (stores, reconcile, daemon).
"""
