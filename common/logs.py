"""Log set-up, called once by each process's entry point. Lines go to stderr as UTF-8 text."""

import logging
import sys
from typing import Literal

LogLevel = Literal["debug", "info", "warning", "error"]


def configure_logging(level: LogLevel = "info") -> None:
    """Send all loggers to stderr: time, level, logger name, message."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%H:%M:%S"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # One line a request comes from the gateway itself; uvicorn's and the clients' would repeat it.
    for noisy in (
        "uvicorn.access",
        "uvicorn.error",
        "httpx",
        "httpx2",
        "httpcore",
        "httpcore2",
        "aiosqlite",
        "alembic",
    ):
        logging.getLogger(noisy).setLevel(logging.WARNING)
