"""The CNI program `bandwidth`: limits what a container sends and receives.

Token buckets (tbf) on the host's end of its veth do that. The modules have the same shape as those of `bridge`.
"""
