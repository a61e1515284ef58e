"""Published ports in the words of each backend, in the reference's chains and rules (docs/reference/cni.md 4.1).

Pure: what is there comes in as a listing, what is to change goes out as a transaction; `meta.portmap.ports` carries it.
"""
