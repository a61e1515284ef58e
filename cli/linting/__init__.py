"""Judges configuration files: by schemas, by the programs' own parsers, and by common typing mistakes."""
