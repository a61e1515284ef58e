"""What `tulle init` and `tulle join` decide and write."""
