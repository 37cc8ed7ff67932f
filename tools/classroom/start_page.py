"""The page that opens at a class's address: what to copy for each system, and the course to read while it installs."""

from __future__ import annotations

from pathlib import Path

PAGES = ("index.html", "pages")  # read in a browser, and never copied to a laptop
SYSTEMS = {
    "Windows (PowerShell)": r"py $HOME\Downloads\start.py ADDRESS",
    "macOS": "python3 ~/Downloads/start.py ADDRESS",
    "Linux": "python3 ~/Downloads/start.py ADDRESS",
}
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Hands-On GPT-2: set up your laptop</title>
<link rel="icon" href="data:,">
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 18px/1.55 system-ui, sans-serif; max-width: 44rem; margin: 0 auto; padding: 1rem; }}
pre {{ white-space: pre-wrap; overflow-wrap: anywhere; user-select: all; }}
pre {{ padding: 0.6rem 0.8rem; border: 1px solid #7778; border-radius: 6px; margin: 0.2rem 0 0.8rem; }}
a {{ color: light-dark(#0b5c94, #7cc0f5); }}
</style>
</head>
<body>
<main>
<h1>Hands-On GPT-2</h1>
<ol>
<li><p>You need <strong>Python 3.11, 3.12 or 3.13</strong>, 4 GB of free disk, and nothing from the internet.</p></li>
<li><p>Take <strong>start.py</strong> from your teacher, by the learning platform or a stick, and leave it in
<em>Downloads</em>.</p></li>
<li><p>Open a terminal and copy the line for your system. It asks for the <strong>fingerprint</strong>, which your
teacher reads aloud: that is how you know that the course comes from your teacher's machine.</p>
{lines}</li>
<li><p>After some minutes JupyterLab opens at lesson 00.{meanwhile}</p></li>
</ol>
<p>It doesn't work? Sit beside somebody for whom it does, and call your teacher with the last line that you see.</p>
</main>
<script>
for (const line of document.querySelectorAll("pre"))
  line.textContent = line.textContent.replace("ADDRESS", location.origin);
</script>
</body>
</html>
"""
MEANWHILE = (
    ' Until then, read: <a href="pages/index.html">the whole course as pages</a>, on which a small GPT-2 already works.'
)


def write_start_page(out: Path, with_course: bool) -> None:
    """Write index.html into a pack; with the course as pages beside it, a link leads there."""
    lines = "\n".join(f"<p>{system}</p>\n<pre>{line}</pre>" for system, line in SYSTEMS.items())
    page = PAGE.format(lines=lines, meanwhile=MEANWHILE if with_course else "")
    (out / PAGES[0]).write_text(page, encoding="utf-8", newline="\n")
