"""What administrators do: keys and usage, all of it through the gateway's /admin."""
