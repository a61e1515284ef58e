"""The CNI program `portmap`: publishes ports of a container on addresses of its host.

`rules` decides what the rules say, `claims` who may have a port. The modules have the same shape as those of `bridge`.
"""
