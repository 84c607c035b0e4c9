"""What the documents show, works: their Python runs, their command lines are ones that the scripts take, their links lead somewhere."""

import json
import os
import re
import shlex
import sys
from pathlib import Path

import command
import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks" / "results").glob("*.md")]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
WEIGHTS = Path(os.environ.get("ZOO_WEIGHTS_DIR", "")) / "resnet20-12fca82f.th"

# page -> what is shorter here than in the document, where a reader wants more trials, seeds and epochs than a test
PAGES = {
    "docs/getting-started.md": {"max_trials=6": "max_trials=2"},
    "docs/training.md": {},
    "docs/backbones.md": {'weights="imagenet"': "weights=None"},  # 102 MB
    "docs/photographs.md": {},
    "docs/inspection.md": {},
    "docs/report.md": {},
    "docs/comparing.md": {
        "repeats=20": "repeats=3",
        "folds=5, repeats=4": "folds=3, repeats=1",
        "epochs=30": "epochs=3",
    },
    "docs/search.md": {
        "max_trials=8,": "max_trials=3,",
        "for count in (3, 64)": "for count in (3, 8)",
        "max_epochs=27": "max_epochs=9",
        "max_trials=32": "max_trials=8",
        "folds=5": "folds=3",
        "repeats=2": "repeats=1",
        "seeds=3": "seeds=1",
    },
    "docs/search-running.md": {
        "max_trials=8": "max_trials=2",
        '"max_trials": 8': '"max_trials": 2',
        "max_trials=12": "max_trials=2",
        "max_trials=24": "max_trials=4",
    },
    "docs/search-extending.md": {"seed in range(20)": "seed in range(1)"},
}
NEED_WEIGHTS = {"docs/backbones.md", "docs/photographs.md"}
ELSEWHERE = {  # page -> the test that runs its blocks
    "README.md": "tests/test_readme.py",
    "docs/exporting.md": "tests/zoo/exporting/test_docs.py",
}


def blocks(path, *languages):
    """(line, text) of the blocks of some languages in a document."""
    text = path.read_text(encoding="utf-8")
    found = re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [(text[: match.start()].count("\n") + 2, match.group(2)) for match in found if match.group(1) in languages]


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """A working folder with `photos/`, two classes that colour tells apart."""
    random = np.random.default_rng(0)
    for channel, name in ((0, "cat"), (2, "dog")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(40):
            pixels = random.integers(0, 160, (40, 36, 3)) + 80 * (np.arange(3) == channel)
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "photos" / name / f"{i}.png")
    Image.new("RGB", (60, 50), "green").save(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.timeout(900)  # whole pages, some with processes and Ray
@pytest.mark.parametrize("page", PAGES)
def test_the_python_of_a_page_runs(page, photos):
    if page in NEED_WEIGHTS and not WEIGHTS.is_file():
        pytest.skip("the published weights of resnet20 are not here (ZOO_WEIGHTS_DIR)")
    names = {"__name__": "__main__"}
    for line, block in blocks(ROOT / page, "python"):
        for long, short in PAGES[page].items():
            block = block.replace(long, short)
        exec(compile("\n" * (line - 1) + block, str(ROOT / page), "exec"), names)


def test_every_page_with_python_is_run():
    pages = {path.relative_to(ROOT).as_posix() for path in DOCUMENTS if blocks(path, "python")}
    assert pages == set(PAGES) | set(ELSEWHERE)
    assert [test for test in ELSEWHERE.values() if not (ROOT / test).exists()] == []


def test_what_is_shortened_stands_in_its_page():
    missing = [(page, long) for page, table in PAGES.items() for long in table if long not in (ROOT / page).read_text()]
    assert missing == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path, photos, monkeypatch):
    monkeypatch.setattr("matplotlib.pyplot.show", lambda: None)
    names = {"__name__": "__main__"}
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), f"{path.name}, {cell['id']}", "exec"), names)


def command_lines():
    """(document, script, arguments) of each line of a shell block that runs one of our scripts."""
    found = []
    for path in DOCUMENTS:
        for _, block in blocks(path, "sh", ""):
            block = block.replace("\\\n", " ")
            settings = dict(re.findall(r'^(\w+)="(.*)"$', block, re.MULTILINE))
            for line in filter(re.compile(r"scripts/\w+\.py").search, block.splitlines()):
                for name, value in settings.items():
                    line = line.replace(f"${name}", value)
                words = shlex.split(line, comments=True)
                places = [i for i, word in enumerate(words) if re.fullmatch(r"scripts/\w+\.py", word)]
                found += [(path.name, Path(words[i]).stem, words[i + 1 :]) for i in places]
    return found


@pytest.mark.parametrize(("document", "script", "arguments"), command_lines(), ids=lambda value: str(value)[:40])
def test_a_command_line_is_one_that_its_script_takes(document, script, arguments, monkeypatch):
    parsed = []
    monkeypatch.setattr(
        command, "run", lambda parser, act, argv, **options: parsed.append(parser.parse_args(argv)) or 0
    )
    module = sys.modules.get(script) or __import__(script)
    assert module.main(arguments) == 0
    assert len(parsed) == 1


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(path):
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        name, _, anchor = target.partition("#")
        if re.match(r"[a-z]+:", name):
            continue
        there = (path.parent / name).resolve() if name else path
        if not there.exists() or (anchor and there.suffix == ".md" and anchor not in anchors(there)):
            broken.append(target)
    assert broken == []


def anchors(path):
    """The anchors of a document's headings and of the names on a page of the reference."""
    text = path.read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).strip().replace(" ", "-") for h in headings} | set(
        re.findall(r"^::: (\S+)", text, re.MULTILINE)
    )


def test_no_title_stands_twice_in_the_navigation():
    titles = re.findall(r"^ +- (.*): \S+\.md$", (ROOT / "mkdocs.yml").read_text(), re.M)
    assert len(titles) > 25
    assert len(titles) == len(set(titles))


def test_a_folder_of_results_belongs_to_one_page():
    """Whoever goes through the pages in one checkout meets no folder that holds something else."""
    pages = {}
    for path in DOCUMENTS:
        text = "\n".join(block for _, block in blocks(path, "python", "sh"))
        for name in set(re.findall(r"(?:directory=|output_dir=|--output |--directory )\"?(runs/[\w-]+)", text)):
            pages.setdefault(name, set()).add(path.name)
    pages["runs/random"].remove("search-running.md")  # the same search there, for who begins with that page
    assert {name: of for name, of in pages.items() if len(of) > 1} == {}


def test_every_public_name_is_on_one_page_of_the_reference():
    import tuning
    import zoo

    listed = [
        name
        for page in (ROOT / "docs" / "reference").glob("*.md")
        for name in re.findall(r"^::: (\S+)", page.read_text(), re.M)
    ]
    public = {f"zoo.{name}" for name in zoo.__all__} | {f"tuning.{name}" for name in tuning.__all__}
    assert len(listed) == len(set(listed))
    assert public - {"zoo.__version__"} == set(listed) - {"zoo.inspection", "zoo.reference"}
