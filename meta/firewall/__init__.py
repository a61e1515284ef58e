"""The CNI program `firewall`: lets a container's traffic through the host's firewall, and separates bridges.

It takes addresses and bridge from prevResult. The modules have the same shape as those of `bridge`.
"""
