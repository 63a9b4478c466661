"""The named colours of CSS by family: what the ten colours of GenEval look like, light and dark.

CSS Color Module Level 4 has the names and tones (Pillow holds them), and their usual listing sorts them into these
families. Those of cyan and grey are none of the ten colours: they are named `""`.
"""

from __future__ import annotations

FAMILIES = {
    "red": "darkred red firebrick crimson indianred lightcoral salmon darksalmon lightsalmon",
    "orange": "orangered tomato darkorange coral orange",
    "yellow": "darkkhaki gold khaki peachpuff yellow palegoldenrod moccasin papayawhip lightgoldenrodyellow "
    "lemonchiffon lightyellow",
    "green": "darkgreen green darkolivegreen forestgreen seagreen olive olivedrab mediumseagreen limegreen lime "
    "springgreen mediumspringgreen darkseagreen mediumaquamarine yellowgreen lawngreen chartreuse lightgreen "
    "greenyellow palegreen",
    "blue": "midnightblue navy darkblue mediumblue blue royalblue steelblue dodgerblue deepskyblue cornflowerblue "
    "skyblue lightskyblue lightsteelblue lightblue powderblue",
    "purple": "indigo purple darkmagenta darkviolet darkslateblue blueviolet darkorchid magenta slateblue "
    "mediumslateblue mediumorchid mediumpurple orchid violet plum thistle lavender rebeccapurple",
    "pink": "mediumvioletred deeppink palevioletred hotpink lightpink pink",
    "brown": "maroon brown saddlebrown sienna chocolate darkgoldenrod peru rosybrown goldenrod sandybrown tan "
    "burlywood wheat navajowhite bisque blanchedalmond cornsilk",
    "black": "black",
    "white": "mistyrose antiquewhite linen beige whitesmoke lavenderblush oldlace aliceblue seashell ghostwhite "
    "honeydew floralwhite azure mintcream snow ivory white",
    "": "teal darkcyan lightseagreen cadetblue darkturquoise mediumturquoise turquoise cyan aquamarine paleturquoise "
    "lightcyan darkslategray dimgray slategray gray lightslategray darkgray silver lightgray gainsboro",
}
"""Names of CSS by the colour of GenEval they are a tone of; `""` for those that are none."""


SAME = {"violet": "purple", "purple": "violet", "grey": "gray", "gray": "grey"}
"""Two names of one colour, each by the other. A shade is no other name: a crimson thing is red, not every red thing is
crimson."""


def list_tones() -> list[tuple[str, tuple[int, int, int]]]:
    """Return each named tone, 8-bit RGB, with its colour."""
    from PIL import ImageColor

    return [(color, ImageColor.getrgb(name)[:3]) for color, names in FAMILIES.items() for name in names.split()]
