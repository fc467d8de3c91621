"""What operators see of a running server: metrics, slow operations, traces and faults."""
