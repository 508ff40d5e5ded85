"""The standard library's HTTP server for tests: a handler that writes no log and answers with a body in one
call, and a thread that serves."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer


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


@contextmanager
def answering(server: HTTPServer) -> Iterator[str]:
    """Its URL; it answers while the block runs."""
    # By itself it would look twice a second whether it is to end.
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
