"""Masquerade in the words of each backend, exactly as the reference plugins write it (docs/reference/cni.md 2.5).

Pure: what is there comes in as a listing, what is to change goes out as a transaction; `bridge.masquerade.apply` carries it.
"""
