"""The page of a review on this computer: one picture at a time, answered by keys or by mouse."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from mien.data.listing import Listing
from mien.errors import MienError, UsageError, nearest
from mien.page import COLOURS, ICON, KINDS
from mien.preprocessing import on_white, plain, upright
from mien.review.corrected import CorrectedTable
from mien.review.session import Answer, Decision, Session, Shown
from mien.serve.door import Door
from mien.serve.guard import Guard

PAGE = Path(__file__).parent / "page"
FILES = [*(file for file in PAGE.iterdir() if file.suffix in KINDS), ICON, COLOURS]
LARGEST = 720  # pixels of a picture's longer side on the page
AHEAD = 3  # pictures that the page loads before they are shown


class Review:
    """What the page asks for and answers; a session, its table and its pictures.

    title: what is reviewed. next_command: what to do with the table.
    """

    def __init__(
        self, session: Session, table: CorrectedTable, listing: Listing, title: str, next_command: str = ""
    ) -> None:
        self.session = session
        self.table = table
        self.listing = listing
        self.title = title
        self.next_command = next_command
        self._one_at_a_time = threading.Lock()
        self._shown = {position for each in session.shown for position in (each.picture, *each.neighbours)}

    def state(self) -> dict[str, Any]:
        """What the page shows now. Nothing in it tells a suspect from a random picture."""
        session, done = self.session, len(self.session.decisions)
        ahead = [each.picture for each in session.shown[done + 1 : done + 1 + AHEAD]]
        return {
            "title": self.title,
            "classes": list(self.listing.classes),
            "done": done,
            "total": len(session.shown),
            "item": self._item(session.current) if session.current else None,
            "ahead": ahead,
            "table": str(self.table.path),
            "next": self.next_command,
            "answers": {
                answer: sum(said.answer == answer for said in session.decisions) for answer in get_args(Answer)
            },
            "error_rate": session.error_rate().to_dict(),
        }

    def decide(self, said: Any) -> dict[str, Any]:
        """Take an answer {"number", "answer", "label"}, write the table, and return the state after it.

        Raises UsageError for what is no answer, or one to another picture than the one that waits.
        """
        with self._one_at_a_time:
            number, decision = self._decision(said)
            self.session.decide(number, decision)
            self.table.write()
            return self.state()

    def undo(self) -> dict[str, Any]:
        """Take the last answer back, write the table, and return the state after it."""
        with self._one_at_a_time:
            self.session.undo()
            self.table.write()
            return self.state()

    def picture(self, position: int) -> tuple[bytes, str]:
        """A picture of the review or a neighbour, at most LARGEST pixels a side, and its media type.

        Raises UsageError for any other picture.
        """
        if position not in self._shown:
            raise UsageError(f"Picture {position} is not part of this review.")
        image = on_white(plain(upright(self.listing.read(position))))  # as the network sees it
        image.thumbnail((LARGEST, LARGEST))
        file = io.BytesIO()
        small = max(image.size) <= 128  # JPEG would blur what little there is to see
        image.convert("RGB").save(file, "PNG" if small else "JPEG", quality=90)
        return file.getvalue(), "image/png" if small else "image/jpeg"

    def _item(self, shown: Shown) -> dict[str, Any]:
        label = self._label(shown.picture)
        near = [
            {"picture": each, "label": self._label(each), "name": self.listing.names[each]} for each in shown.neighbours
        ]
        name = self.listing.names[shown.picture]
        return {
            "picture": shown.picture,
            "name": name,
            "label": label,
            "suggested": shown.suggested,
            "neighbours": near,
        }

    def _label(self, position: int) -> str:
        return self.listing.classes[self.listing.labels[position]]

    def _decision(self, said: Any) -> tuple[int, Decision]:
        if (
            not isinstance(said, dict)
            or not isinstance(said.get("number"), int)
            or said.get("answer") not in get_args(Answer)
        ):
            raise UsageError(f"An answer has a number and one of {', '.join(get_args(Answer))}.")
        answer, label = said["answer"], said.get("label", "")
        if answer != "change":
            return said["number"], Decision(answer)
        if label not in self.listing.classes:
            raise UsageError(f"There is no class '{label}'.{nearest(str(label), self.listing.classes)}")
        current = self.session.current
        same = current is not None and label == self._label(current.picture)
        return said["number"], Decision("keep") if same else Decision("change", label)


def create_app(review: Review, hosts: Sequence[str]) -> ASGIApp:
    """The ASGI application. hosts: the names under which it may be asked, see `mien.serve.door.Door`."""

    def state(request: Request) -> Response:
        return JSONResponse(review.state())

    async def decide(request: Request) -> Response:
        _refuse_forms(request)
        try:
            said = await request.json()
        except ValueError:
            raise UsageError("An answer is JSON.") from None
        return JSONResponse(review.decide(said))

    async def undo(request: Request) -> Response:
        _refuse_forms(request)
        return JSONResponse(review.undo())

    def picture(request: Request) -> Response:
        content, kind = review.picture(request.path_params["position"])
        return Response(content, media_type=kind, headers={"Cache-Control": "private, max-age=3600"})

    routes = [
        Route("/api/state", state),
        Route("/api/decide", decide, methods=["POST"]),
        Route("/api/undo", undo, methods=["POST"]),
        Route("/api/pictures/{position:int}", picture),
        *(Route("/" if file.name == "index.html" else f"/{file.name}", _sender(file)) for file in FILES),
    ]
    app = Starlette(routes=routes, exception_handlers={UsageError: _refused, MienError: _failed})
    app.add_middleware(Door, hosts=hosts)
    return Guard(app)


def _refuse_forms(request: Request) -> None:
    """A form of another site's page can send text without asking; JSON it cannot."""
    if not request.headers.get("content-type", "").startswith("application/json"):
        raise UsageError("Answers are sent as application/json.")


def _sender(file: Path) -> Callable[[Request], Response]:
    content, kind = file.read_bytes(), KINDS[file.suffix]

    def send(request: Request) -> Response:
        return Response(content, media_type=kind, headers={"Cache-Control": "no-cache"})

    return send


def _refused(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 409)


def _failed(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 500)
