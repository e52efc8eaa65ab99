"""The built page, read once at start: a request never names a file of the disk."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

STATIC = Path(__file__).parent / "static"

MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
    ".txt": "text/plain; charset=utf-8",
    ".json": "application/json",
}
FOREVER = "public, max-age=31536000, immutable"  # the name holds a hash of the content


class PageNotBuilt(Exception):
    """The built page is missing from this installation. Build it with `npm ci && npm run build` in `frontend/`,
    or install qanat from a wheel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """One file of the page as it goes over the wire."""

    body: bytes
    media_type: str
    etag: str
    cache_control: str


@cache
def assets() -> dict[str, Asset]:
    """All files of the page by URL path; ``/`` is ``index.html``.

    Raises:
        PageNotBuilt: there is no ``static/index.html``.
    """
    if not (STATIC / "index.html").is_file():
        raise PageNotBuilt(str(PageNotBuilt.__doc__))
    files = [file for file in sorted(STATIC.rglob("*")) if file.suffix in MEDIA_TYPES]
    found = {"/" + file.relative_to(STATIC).as_posix(): _asset(file) for file in files}
    found["/"] = found["/index.html"]
    return found


def _asset(file: Path) -> Asset:
    body = file.read_bytes()
    return Asset(
        body=body,
        media_type=MEDIA_TYPES[file.suffix],
        etag=f'"{hashlib.sha256(body).hexdigest()[:32]}"',
        cache_control=FOREVER if file.parent.name == "assets" else "no-cache",
    )
