"""What the gateway tells its operators: metrics, traces and the access log."""
