"""What no answer to a stranger may show."""

import re

INSIDE = re.compile(rb'Traceback|File "|\.py\b|site-packages|/root/|/home/|sqlite|127\.0\.0\.1|secret-key')
"""Traces of code, paths, addresses and secrets of the server."""
