"""The HTTP edge: Envoy with its gRPC-JSON transcoder, configured from the contract."""
