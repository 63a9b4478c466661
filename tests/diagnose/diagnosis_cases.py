"""Small diagnoses for tests."""

from __future__ import annotations

from typing import Any

from datagen.diagnose import Diagnosis

LEVELS = {"counting/few/easy": 0.25, "counting/few/hard": 0.25, "spatial/two/medium": 0.5}


def rate(value: float, prompts: int = 40) -> dict[str, Any]:
    return {"value": value, "low": max(0.0, value - 0.1), "high": min(1.0, value + 0.1), "prompts": prompts}


def row(path: str, first: float | None, gain: float | None = None, prompts: int = 40, **more: Any) -> dict[str, Any]:
    values: dict[str, Any] = {"path": path, "verdict": "weak", "prompts": prompts, "samples": prompts * 4, **more}
    if first is not None:
        values["pass_1"] = rate(first, prompts)
    if gain is not None:
        values["gain"] = rate(gain, prompts)
    return values


def diagnosis(*rows: dict[str, Any]) -> Diagnosis:
    return Diagnosis.model_validate({"made": {"source": "csv", "prompts": 40, "candidates": 4}, "rows": list(rows)})
