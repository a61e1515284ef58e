"""The program `firewall`: lets a container's traffic through the host's firewall and keeps networks apart, in `bridge`'s shape.

Knows no other program; what it needs of the attachment stands in prevResult.
"""
