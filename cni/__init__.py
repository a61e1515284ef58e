"""The CNI protocol as a library: it knows no plugin and no kernel (CNI specification 0.1.0 to 1.1.0)."""
