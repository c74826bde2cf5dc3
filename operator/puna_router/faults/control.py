"""The lab's own listener: what it saw, and what is to go wrong from now on."""

from __future__ import annotations

import json

from puna_router.faults.connection import Connection
from puna_router.faults.server import LabServer, page, refusal
from puna_router.faults.settings import read_plan
from puna_router.faults.wire import Request


class Control:
    """Answers GET and PUT of `/lab` and GET of `/lab/requests`."""

    def __init__(self, server: LabServer) -> None:
        self._server = server

    async def answer(self, request: Request, connection: Connection) -> bool:
        """Answer one request."""
        await connection.send(b"".join(self._answered(request)))
        return True

    def _answered(self, request: Request) -> list[bytes]:
        match request.method, request.path:
            case "GET", "/lab":
                return page(self._server.state())
            case "GET", "/lab/requests":
                return page(self._server.ends())
            case "PUT", "/lab":
                try:
                    self._server.follow(read_plan(json.loads(request.body)))
                except (TypeError, ValueError) as error:
                    return refusal(400, "invalid_request_error", str(error))
                return page(self._server.state())
            case _:
                return refusal(404, "not_found_error", "File Not Found")
