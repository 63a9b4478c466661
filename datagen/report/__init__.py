"""The gallery: an HTML page with the figures of a run and its samples, readable offline, at most 25 MB for any run.

`write_report` takes the stored samples, scores, weights and failures and computes everything shown; nothing is judged
or weighed here. Plots are inline SVG, thumbnails and all numbers stand in the page, and a content security
policy forbids every request but for full pictures in the folder beside it. The page is whole without that folder, so
it can be mailed and opened anywhere. Make one: `datagen report RUN`.

Figures, filters and counts cover all samples. Not covered: words and pictures of more than `Limits.samples`; the page
says which it shows.
"""

from __future__ import annotations

from datagen.report.album import Limits
from datagen.report.charts import plot_dots
from datagen.report.figures import Estimate, ReportItem
from datagen.report.page import render_plain, render_sample, write_report
from datagen.report.selection import Selection, select

__all__ = [
    "Estimate",
    "Limits",
    "ReportItem",
    "Selection",
    "plot_dots",
    "render_plain",
    "render_sample",
    "select",
    "write_report",
]
