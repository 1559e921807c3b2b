"""A stored file as an answer: streamed from disk, with ranges and an entity tag. Knows no noun."""

from __future__ import annotations

from pathlib import Path

from flask import Request, Response, send_file

__all__ = ["file_response"]


def file_response(request: Request, path: Path, *, name: str, sha256: str) -> Response:
    """Return the file; `Range` and `If-None-Match` are honoured, and the tag is the hash of its bytes."""
    response = send_file(
        path,
        mimetype="application/octet-stream",
        as_attachment=True,
        download_name=name,
        conditional=False,
        etag=False,
    )
    response.set_etag(sha256)
    response.headers["cache-control"] = "private, no-cache"
    response.make_conditional(request.environ, accept_ranges=True, complete_length=path.stat().st_size)
    return response
