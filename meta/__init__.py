"""The chained and wrapping programs, one folder each in bridge's shape; they never import each other."""
