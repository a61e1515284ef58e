"""The store that real machines share: etcd v3 over gRPC, with flannel's keys and values."""
