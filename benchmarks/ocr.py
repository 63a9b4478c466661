"""How well and how fast text is read, by size of picture and height of letters.

    python benchmarks/ocr.py --fonts FOLDER… [--set held-out] [--cell 20] [--sides 256 …] [--json FILE]
    python benchmarks/ocr.py --fonts FOLDER… --alone      rapidocr by itself, with one look at the whole picture
    python benchmarks/ocr.py --fonts FOLDER… --speed      processor time against rapidocr by itself, in turns

Pictures are letterings of `datagen.audit.lettering`: one to four lines, slants to 8 degrees. The two sets share no
text, no font and no busy ground. `tuning` is what the reader's figures were chosen on; `held-out` was looked at for the
final figure alone. Fonts are files of Debian's packages and never part of this repository; any folder will do that
`dpkg -x` unpacked them to:

    tuning: fonts-dejavu-core fonts-liberation fonts-lato fonts-roboto-unhinted fonts-quicksand fonts-vollkorn
    held-out: fonts-open-sans fonts-ebgaramond fonts-crosextra-caladea fonts-comic-neue fonts-hack fonts-cabin
        fonts-yanone-kaffeesatz fonts-gfs-didot fonts-tuffy fonts-clear-sans
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from datagen.audit.lettering import SHARES, SIDES_PX, Lettering, plan_letterings, render_lettering  # noqa: E402
from datagen.audit.reading import Reading, read_letterings, tabulate  # noqa: E402
from datagen.audit.trust import Row  # noqa: E402
from datagen.console import print_table  # noqa: E402
from datagen.pictures import read_image  # noqa: E402
from datagen.prompts.templated import sample_prompt  # noqa: E402
from datagen.scoring.tools import make_tools  # noqa: E402
from datagen.taxonomy import load_taxonomy  # noqa: E402
from datagen.vision import ocr  # noqa: E402

Read = Callable[[bytes], list[str]]

HELD_OUT = """
EXIT|OPEN|SALE|STOP|TAXI|NO|OK|Hi!|GO|24/7|50%|No 7|7 am|B12|A4|Zone 3|€5|No. 9|H2O|VIP|Wi-Fi|Gate C|Bus 42|Pull|Push|WC
Café|Bar|Menu|Toys|Help|Left|Up|Lift|Tea|Pie|Zoo|Inn|Gym|Fish|Cold|Hot|Fire|Rent|Sold|Quiet|Staff|Cash|Closed|Bakery
Mind the gap|Please knock|Wet paint|Back in ten minutes|Do not disturb|Keep off the grass|Beware of the dog
No parking day or night|Private road, no turning|Thank you for not smoking|Emergency door, do not lock
Please wait here to be seated|All visitors must report to reception|Hard hats must be worn on this site
SUMMER CLEARANCE|GRAND OPENING SATURDAY|LIVE JAZZ EVERY FRIDAY|BUY ONE GET ONE FREE|LOST DOG, REWARD 200|VOTE TODAY
ROAD CLOSED AHEAD|SLOW CHILDREN CROSSING|DANGER HIGH VOLTAGE|NO ENTRY|ONE WAY|DEAD END|WAY OUT|TICKETS HERE|FOR RENT
Fresh bread baked daily since 1952|Soup of the day: leek and potato|Two eggs, toast and coffee for $8
Handmade candles and soap|Piano lessons for all ages|Bicycles mended while you wait|We deliver within 5 miles
The early bird catches the worm|Better late than never|Home is where the heart is|Time flies like an arrow
Quarterly report 2031|Chapter Twelve|Happy Birthday Ella|Welcome home|Merry Christmas|Good luck Sam|Just married
Flight 6083 to Oslo departs at 19:45|Platform 11, coach D, seat 27|Room 404 not found|Call 555 0173 before noon
Opening hours 8:30 to 17:15|Speed limit 30|Height 4.2 m|Weight 7.5 t|Page 3 of 16|Lot 58|Est. 1887|Size XL|Level 2
Natural History Museum|Central Library|City Marathon|Harvest Festival|Winter Garden|Blue Lagoon|Night Market
Organic honey from our own hives|Best pizza in town|Try our famous fudge|Vegan & gluten free|Made with love
Caution: floor is slippery when wet|Push button to call lift|Insert coin and turn handle|This side up
""".replace("\n", "|").strip("|")
"""Texts that no lexicon of datagen holds, as on signs, posters and tickets."""
FONTS = {
    "tuning": [
        *("DejaVuSans", "DejaVuSerif-Bold", "Lato-Regular", "LiberationMono-Regular", "LiberationSans-Bold"),
        *(
            "LiberationSansNarrow-Bold",
            "LiberationSerif-Italic",
            "Quicksand-Medium",
            "Roboto-Black",
            "Vollkorn-Regular",
        ),
    ],
    "held-out": [
        *("Cabin-Medium", "Caladea-Bold", "ClearSans-Bold", "ComicNeue-Bold", "EBGaramond12-Regular", "GFSDidot"),
        *("Hack-Regular", "OpenSans-CondBold", "OpenSans-Regular", "Tuffy", "YanoneKaffeesatz-Bold"),
    ],
}
"""Names of files."""
GROUNDS = {
    "tuning": ("plain", "gradient", "noise", "stripes", "clouds"),
    "held-out": ("plain", "gradient", "checks", "discs", "waves"),
}
SEEDS = {"tuning": 1, "held-out": 2}


def list_texts(which: str) -> list[str]:
    """Return the texts of a set; those for tuning are what the shipped prompts claim."""
    if which == "held-out":
        return HELD_OUT.split("|")
    skills = load_taxonomy(["text_rendering"], "everyday").skills
    prompts = [sample_prompt(skill, index, 1) for skill in skills for index in range(60)]
    return [str(claim.value) for prompt in prompts for claim in prompt.claims if claim.kind == "text"]


def find_fonts(folders: Sequence[Path], names: Sequence[str]) -> list[str]:
    """Return the files of fonts by their names; stops with the list of those that are nowhere."""
    files = {file.stem: str(file) for folder in folders for file in sorted(folder.rglob("*.[ot]tf"))}
    if missing := [name for name in names if name not in files]:
        sys.exit(f"no font file {', '.join(missing)}: give their folders with --fonts, see --help")
    return [files[name] for name in names]


class OneLook:
    """rapidocr by itself: the picture as it comes, found and read in one go, as datagen had it before."""

    def __init__(self) -> None:
        from rapidocr import RapidOCR

        threads = {f"EngineConfig.onnxruntime.{kind}_op_num_threads": 1 for kind in ("intra", "inter")}
        self._engine = RapidOCR(params={"Det.limit_side_len": 256, "Global.log_level": "error", **threads})

    def __call__(self, image: bytes) -> list[str]:
        """Return the lines in the order in which rapidocr gives them."""
        pixels = np.ascontiguousarray(np.asarray(read_image(image))[..., ::-1])
        result = self._engine(pixels, use_det=True, use_cls=False, use_rec=True)
        return ocr.keep_words(result.txts or ())


def compare_speed(ours: Read, other: Read, letterings: Sequence[Lettering]) -> list[Row]:
    """Return the median processor time of both by size of picture, and the median of their ratios; in turns."""
    taken: dict[int, list[tuple[float, float]]] = {}
    for number, lettering in enumerate(letterings):
        image = render_lettering(lettering)
        seconds = {}
        for read in (ours, other) if number % 2 else (other, ours):
            begin = time.process_time()
            read(image)
            seconds[read] = time.process_time() - begin
        taken.setdefault(lettering.side_px, []).append((seconds[ours], seconds[other]))
    return [
        {
            "side px": side,
            "pictures": len(pairs),
            "ms": 1000 * statistics.median(one for one, _ in pairs),
            "rapidocr alone, ms": 1000 * statistics.median(two for _, two in pairs),
            "ratio": statistics.median(one / two for one, two in pairs),
        }
        for side, pairs in taken.items()
    ]


def tabulate_ways(readings: Sequence[Reading]) -> list[Row]:
    """Return the share read to the letter for each font, ground, number of lines and slant."""
    groups: dict[str, list[bool]] = {}
    for reading in readings:
        lettering = reading.lettering
        slanted = "slanted" if abs(lettering.slant_degrees) >= 1 else "upright"
        for name in (Path(lettering.font).stem, lettering.ground, f"{len(lettering.lines)} lines", slanted):
            groups.setdefault(name, []).append(bool(reading.passes))
    return [{"of": name, "pictures": len(each), "right": statistics.fmean(each)} for name, each in groups.items()]


def list_failures(readings: Sequence[Reading]) -> list[Row]:
    """Return what was read otherwise than it stands there."""
    return [
        {
            "side px": reading.lettering.side_px,
            "letters": reading.lettering.letter_share,
            "font": Path(reading.lettering.font).stem,
            "ground": reading.lettering.ground,
            "slant": round(reading.lettering.slant_degrees, 1),
            "text": " / ".join(reading.lettering.lines),
            "read": " / ".join(reading.read),
        }
        for reading in readings
        if not reading.passes
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fonts", type=Path, nargs="+", required=True, metavar="FOLDER")
    parser.add_argument("--set", choices=list(SEEDS), default="held-out")
    parser.add_argument("--cell", type=int, default=20, help="pictures a cell, each right and with a wrong letter [20]")
    parser.add_argument("--sides", type=int, nargs="+", default=SIDES_PX, help="of the pictures, in px")
    parser.add_argument("--shares", type=float, nargs="+", default=SHARES, help="heights of a capital, of the side")
    parser.add_argument("--alone", action="store_true", help="ask rapidocr by itself")
    parser.add_argument("--speed", action="store_true", help="measure time in place of texts read right")
    parser.add_argument("--failures", action="store_true", help="also list what was not read to the letter")
    parser.add_argument("--json", type=Path, metavar="FILE")
    asked = parser.parse_args()
    which = asked.set
    letterings = plan_letterings(
        list_texts(which),
        fonts=find_fonts(asked.fonts, FONTS[which]),
        grounds=GROUNDS[which],
        sides=asked.sides,
        shares=asked.shares,
        per_cell=asked.cell,
        seed=SEEDS[which],
    )
    tables: dict[str, list[Row]] = {}
    if asked.speed:
        tables["speed"] = compare_speed(ocr.build(), OneLook(), list(letterings))
    else:
        readings = list(
            read_letterings(make_tools(lambda image: [], OneLook() if asked.alone else ocr.build()), letterings)
        )
        tables["text by size"] = tabulate(readings)
        tables["by font, ground, slant"] = tabulate_ways(readings)
        if asked.failures:
            tables["not read to the letter"] = list_failures(readings)
    for title, rows in tables.items():
        print_table(list(rows[0]), [list(row.values()) for row in rows], title)
    if asked.json:
        asked.json.write_text(json.dumps(tables, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
