"""The CNI program `tuning`: changes kernel parameters and properties of the container's interface.

`backup` saves what was there before, and DEL puts it back. The modules have the same shape as those of `bridge`.
"""
