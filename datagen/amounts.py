"""Amounts as a person reads them: `1 error`, `2,000 samples`, `12:30`, `3.4 MB`."""

from __future__ import annotations


def count_of(number: int, noun: str) -> str:
    """Return a number with its noun, whose plural ends in s: `1 error`, `2,000 samples`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def format_seconds(seconds: float) -> str:
    """Return a duration as `0:07`, `12:30` or `3:05:00`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def format_bytes(size: float) -> str:
    """Return a size as `3.4 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
