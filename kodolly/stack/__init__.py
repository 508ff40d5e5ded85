"""`kodolly up` and the gateway's processes: parts as child processes."""
