"""Masquerade rules for each firewall backend, exactly as the reference plugins write them (docs/reference/cni.md 2.5).

`iptables` and `nftables` compute the change from a listing of the rules; `apply` reads the listing and sends the
change.
"""
