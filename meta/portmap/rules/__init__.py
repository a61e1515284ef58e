"""The rules of published ports, one module per backend, with the reference's chains (docs/reference/cni.md 4.1).

They compute changes from a listing; `meta.portmap.ports` reads the listing and sends the change.
"""
