"""A stand-in for llama-server that does as it is told: `python stand_in.py --host A --port N ...`.

`/health` answers what `POST /become/<status>` said last, everything else 200; `/answered` tells how
many completions it gave. A streamed completion has `max_tokens` events, ten in a second.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PACE_SECONDS = 0.1


class Handler(BaseHTTPRequestHandler):
    """Answers of the stand-in."""

    protocol_version = "HTTP/1.1"
    health = 200
    answered = 0

    def do_GET(self) -> None:
        """Health, and what is asked of a server."""
        documents = {"/slots": [], "/answered": Handler.answered}
        status = Handler.health if self.path == "/health" else 200
        self._answer(status, documents.get(self.path, {"status": "stand-in"}))

    def do_POST(self) -> None:
        """A completion, or an order."""
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        asked = json.loads(body) if body else {}
        if self.path.startswith("/become/"):
            Handler.health = int(self.path.rpartition("/")[2])
        else:
            Handler.answered += 1
        if asked.get("stream"):
            self._stream(asked["max_tokens"])
        else:
            self._answer(200, {"choices": [{"text": "stand-in"}], "content": "stand-in"})

    def _stream(self, events: int) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        for number in range(events):
            self.wfile.write(f'data: {{"token": {number}}}\n\n'.encode())
            time.sleep(PACE_SECONDS)
        self.wfile.write(b"data: [DONE]\n\n")
        self.close_connection = True

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
