"""The programs that create interfaces, apart from `bridge`, one folder each."""
