"""Address management: who holds which address of a host, decided purely and kept on disk in the reference's form."""
