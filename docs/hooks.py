"""What the site shows and `docs/` does not hold as pages: README, design, contributing, changelog, the benchmarks' tables, notebooks.

They stay where a reader of the repository looks for them; MkDocs gets them as pages, and links between all are made to fit.
"""

from __future__ import annotations

import json
import os
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
PAGES = {  # a file of the repository -> its page of the site
    "README.md": "index.md",
    "ARCHITECTURE.md": "design.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    **{f"benchmarks/results/{f.name}": f"measured/{f.name}" for f in (ROOT / "benchmarks/results").glob("*.md")},
}
_LINK = re.compile(r"(\]\()([^)#\s]+)((?:#[^)]*)?\))")


def on_files(files: Files, *, config: Any) -> Files:
    """Adds the pages that lie outside of `docs/`."""
    for source, page in PAGES.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    for notebook in (ROOT / "docs" / "notebooks").glob("*.ipynb"):
        files.append(File.generated(config, f"notebooks/{notebook.stem}.md", content=_page_of(notebook)))
    return files


def _page_of(notebook: Path) -> str:
    """A notebook as Markdown, with a link to the file itself."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    texts = [(cell["cell_type"], "".join(cell["source"])) for cell in cells]
    parts = [text if kind == "markdown" else f"```python\n{text}\n```" for kind, text in texts]
    title, _, rest = parts[0].partition("\n")
    return "\n\n".join(
        [title, f"[The notebook]({notebook.name}) runs in Jupyter: `pip install jupyterlab`.", rest.strip(), *parts[1:]]
    )


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Files) -> str:
    """Turns links between files of the repository into links between pages."""
    of_page = {page: source for source, page in PAGES.items()}
    source = of_page.get(page.file.src_uri, f"docs/{page.file.src_uri}")

    def relinked(match: re.Match[str]) -> str:
        before, target, after = match.groups()
        if re.match(r"[a-z]+:", target):
            return match.group()
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        there = PAGES.get(path) or path.removeprefix("docs/")
        if there == path:
            raise PluginError(f"{source}: {target} is no page of the site; name it in docs/hooks.py")
        return before + os.path.relpath(there, posixpath.dirname(page.file.src_uri) or ".") + after

    return _LINK.sub(relinked, markdown)
