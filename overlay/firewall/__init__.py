"""The rules that let containers' packets through and out, keep networks apart and filter the tunnel."""
