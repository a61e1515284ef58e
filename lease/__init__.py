"""The lease file: what the daemon tells the programs of one host about its share of the network (flannel's subnet.env)."""
