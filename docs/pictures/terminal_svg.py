"""What a terminal shows, as a picture: text with colour codes (tmux capture-pane -e) in, SVG out.

Knows the codes that tmux writes for colours, bold, dim, underlined and reverse, and no others. Blocks that should touch are drawn as
rectangles: fonts leave gaps between them.
"""
import re
import unicodedata
from html import escape

CELL_WIDTH, CELL_HEIGHT, BASELINE, MARGIN = 8.4, 18, 13.5, 12
BACKGROUND, FOREGROUND = "#1e2127", "#d7dae0"
PALETTE = ["#1e2127", "#e06c75", "#98c379", "#e5c07b", "#61afef", "#c678dd", "#56b6c2", "#d7dae0"]
DIM = "#7d8590"
BLOCKS = {"█": 1.0, "▒": 0.45}  # how much of them is ink
CODE = re.compile(r"\x1b\[([\d;]*)m")


class Pen:
    def __init__(self):
        self.reset()

    def reset(self):
        self.fore = self.back = None
        self.bold = self.dim = self.underline = self.reverse = False

    def obey(self, codes):
        for code in (int(text or 0) for text in codes.split(";")):
            if code == 0:
                self.reset()
            elif code in (1, 2, 4, 7):
                setattr(self, {1: "bold", 2: "dim", 4: "underline", 7: "reverse"}[code], True)
            elif code in (22, 24, 27):
                for name in {22: ("bold", "dim"), 24: ("underline",), 27: ("reverse",)}[code]:
                    setattr(self, name, False)
            elif 30 <= code <= 37:
                self.fore = PALETTE[code - 30]
            elif 40 <= code <= 47:
                self.back = PALETTE[code - 40]
            elif code == 39:
                self.fore = None
            elif code == 49:
                self.back = None

    def look(self):
        """(text colour, background or None, bold, underlined)"""
        fore, back = self.fore or (DIM if self.dim else FOREGROUND), self.back
        if self.reverse:
            fore, back = back or BACKGROUND, fore
        return fore, back, self.bold, self.underline


def width(character):
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def runs(line):
    """Pieces of a line that look alike: (column, columns, text, look)."""
    pen, column, at = Pen(), 0, 0
    for found in [*CODE.finditer(line), None]:
        text = line[at:found.start() if found else len(line)]
        for piece in re.findall(r"[█]+|[▒]+|[^█▒]+", text):
            columns = sum(map(width, piece))
            yield column, columns, piece, pen.look()
            column += columns
        if found:
            pen.obey(found.group(1))
            at = found.end()


def rectangle(x, y, columns, colour, opacity=1.0):
    shade = f' fill-opacity="{opacity}"' if opacity < 1 else ""
    return f'<rect x="{x:.1f}" y="{y}" width="{columns * CELL_WIDTH:.1f}" height="{CELL_HEIGHT}" fill="{colour}"{shade}/>'


def draw_run(row, column, columns, text, look):
    fore, back, bold, underline = look
    x, y = MARGIN + column * CELL_WIDTH, MARGIN + row * CELL_HEIGHT
    parts = [rectangle(x, y, columns, back)] if back else []
    if text[0] in BLOCKS:
        parts.append(rectangle(x, y + 3, columns, fore, BLOCKS[text[0]]).replace(f'height="{CELL_HEIGHT}"', f'height="{CELL_HEIGHT - 6}"'))
    elif text.strip():
        inner = text.lstrip(" ")
        x += (len(text) - len(inner)) * CELL_WIDTH
        inner = inner.rstrip(" ")
        style = (' font-weight="bold"' if bold else "") + (' text-decoration="underline"' if underline else "")
        parts.append(f'<text x="{x:.1f}" y="{y + BASELINE:.1f}" fill="{fore}"{style} textLength="{sum(map(width, inner)) * CELL_WIDTH:.1f}">{escape(inner)}</text>')
    return parts


def svg(text, columns, title):
    lines = text.rstrip("\n").split("\n")
    size = f"{columns * CELL_WIDTH + 2 * MARGIN:.0f}", f"{len(lines) * CELL_HEIGHT + 2 * MARGIN}"
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{size[0]}" height="{size[1]}" viewBox="0 0 {size[0]} {size[1]}" '
             f'font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="14" xml:space="preserve">',
             f"<title>{escape(title)}</title>", f'<rect width="100%" height="100%" rx="6" fill="{BACKGROUND}"/>']
    for row, line in enumerate(lines):
        for run in runs(line):
            parts += draw_run(row, *run)
    return "\n".join([*parts, "</svg>", ""])
