"""The commands people type, a file each."""
