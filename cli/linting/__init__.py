"""Judges configuration files: schemas, the programs' own parsers, and what people mistype."""
