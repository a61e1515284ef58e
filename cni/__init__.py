"""The CNI protocol as a library, for specification 0.1.0 to 1.1.0; it uses no plugin and not the kernel."""
