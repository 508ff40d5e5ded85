"""A request handler of the standard library that writes no log and answers with a body in one call."""

from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler


class QuietHandler(BaseHTTPRequestHandler):
    """Methods are added by who serves something: do_GET, do_POST."""

    def answer(self, body: bytes = b"", status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        """Send a whole response; it is JSON unless a header says otherwise."""
        self.send_response(status)
        told = {"content-type": "application/json", "content-length": str(len(body)), **(headers or {})}
        for name, value in told.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on the tests' terminal."""
