"""A stand-in for llama-server that does as it is told: `python stand_in.py --host A --port N ...`.

`/health` answers what `POST /become/<status>` said last, everything else 200; `/answered` tells how
many completions it gave.
"""

from __future__ import annotations

import itertools
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    """Answers of the stand-in."""

    protocol_version = "HTTP/1.1"
    health = 200
    answered = 0

    def do_GET(self) -> None:  # noqa: N802 - the library's spelling
        """Health, and what is asked of a server."""
        documents = {"/slots": [], "/answered": Handler.answered}
        status = Handler.health if self.path == "/health" else 200
        self._answer(status, documents.get(self.path, {"status": "stand-in"}))

    def do_POST(self) -> None:  # noqa: N802 - the library's spelling
        """A completion, or an order."""
        self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.path.startswith("/become/"):
            Handler.health = int(self.path.rpartition("/")[2])
        else:
            Handler.answered += 1
        self._answer(200, {"choices": [{"text": "stand-in"}], "content": "stand-in"})

    def _answer(self, status: int, document: object) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


def main(arguments: list[str]) -> None:
    """Serve until killed."""
    flags = dict(itertools.pairwise(arguments))
    ThreadingHTTPServer((flags["--host"], int(flags["--port"])), Handler).serve_forever()


if __name__ == "__main__":
    main(sys.argv[1:])
