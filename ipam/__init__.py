"""Address management: the programs `host-local` and `static`."""
