"""What `tulle init` and `tulle join` must know, decide and write."""
