"""What an answer's headers say about coming back later; knows no retry rule and no clock."""

from __future__ import annotations

from lmaas._request import Answer


def retry_after(answer: Answer) -> float | None:
    """Return the seconds the server asks to wait: `retry-after-ms`, else `Retry-After`; None if it does not say."""
    milliseconds = _number(answer.headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    value = answer.headers.get("retry-after")
    seconds = _number(value)
    if seconds is not None or value is None:
        return seconds
    from email.utils import parsedate_to_datetime  # takes 10 ms to load, and hardly a server says it with a date

    try:
        # Measured against the server's own clock where it tells it, so that a skewed one does no harm.
        now = answer.headers.get("date")
        start = parsedate_to_datetime(now).timestamp() if now else answer.received_at
        return max(0.0, parsedate_to_datetime(value).timestamp() - start)
    except (ValueError, TypeError, OverflowError, OSError):
        return None


def _number(text: str | None) -> float | None:
    try:
        number = float(text) if text is not None else -1.0
    except ValueError:
        return None
    return number if 0 <= number < float("inf") else None
