"""HTML pages that need nothing but themselves."""

import base64
from html import escape

_STYLE = """
:root { color-scheme: light dark; --back: #ffffff; --text: #1c2024; --soft: #60656c; --line: #d9dce0; --card: #f4f5f7;
  --good: #18794e; --bad: #c62a2f; }
@media (prefers-color-scheme: dark) {
  :root { --back: #15181b; --text: #e6e8ea; --soft: #9ba1a8; --line: #363b40; --card: #1e2226;
    --good: #4cc38a; --bad: #ff6369; }
}
body { margin: 2rem auto; max-width: 76rem; padding: 0 1rem; background: var(--back); color: var(--text);
  font: 15px/1.5 system-ui, sans-serif; }
h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line); }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .8rem .2rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 600; white-space: nowrap; }
.wide { overflow-x: auto; margin: 1rem 0; }
.look { padding: .6rem 1rem; background: var(--card); border-left: 4px solid var(--bad); }
.good { color: var(--good); }
.bad { color: var(--bad); font-weight: 600; }
img { width: 100%; height: auto; background: #ffffff; border: 1px solid var(--line); }
summary { cursor: pointer; color: var(--soft); }
"""


def document(title: str, content: str, style: str = "") -> str:
    """A whole page under a heading; `content` is HTML, `style` rules of its own."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}{style}</style>\n</head>\n<body>\n"
        f"<h1>{escape(title)}</h1>\n{content}\n</body>\n</html>\n"
    )


def picture(png: bytes, alt: str) -> str:
    """A PNG file as a part of the page."""
    content = base64.b64encode(png).decode("ascii")
    return f'<img alt="{escape(alt)}" src="data:image/png;base64,{content}">'
