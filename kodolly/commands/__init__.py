"""One module a subcommand; each has a click command named `command` and imports its part inside it."""
