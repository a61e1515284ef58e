"""The chained programs and `flannel`, one folder each, in the shape of `bridge`."""
