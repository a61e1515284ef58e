"""The CNI program `flannel`: runs another program with a configuration made from this host's lease.

The other program, the delegate, makes links and gets addresses. `plan` makes its configuration and `state` saves it for
DEL.
"""
