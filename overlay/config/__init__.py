"""What a person sets: flannel's network config, and the options of tulled."""
