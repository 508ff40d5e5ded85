"""What an operator asks of a running cluster: overview, deploy, drain, health."""
