"""The interface-creating programs besides `bridge`, a folder each; they never import each other."""
