"""The gallery: one self-contained HTML file with the plots of a run and its samples, readable offline.

`write_report` takes what the run stored (samples, scores, weights, failures) and computes everything shown; nothing is
judged or weighed here. Plots are inline SVG, images are data: URIs, and a strict content security policy forbids every
request, so a page can be mailed and opened anywhere. Make one: `datagen report RUN`.

Not covered: more than `EMBED_LIMIT` samples in the gallery itself (the figures always cover all of them).
"""

from __future__ import annotations

from datagen.report.figures import EMBED_LIMIT, ReportItem
from datagen.report.page import write_report

__all__ = ["EMBED_LIMIT", "ReportItem", "write_report"]
