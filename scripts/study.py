"""Runs the studies: each answers one question of a machine-learning course and writes a page with its numbers."""

from __future__ import annotations

import argparse
import ast
import hashlib
import importlib
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import arguments
import command
from studies.options import StudyOptions

from zoo.errors import UsageError, ZooError, check_seed, unknown_name, visible
from zoo.storage import read_json

_FOLDER = Path(__file__).parent / "studies"
STUDIES = (  # in the order of a course
    "softmax_regions",
    "learning_rates",
    "stochastic_gradient",
    "momentum",
    "early_stopping",
    "weight_decay",
    "gradient_check",
    "backpropagation",
    "vanishing_gradients",
    "initialization",
    "mlp_search",
    "universal_approximation",
    "textbook_identities",
    "convolution_arithmetic",
    "cnn_grid_search",
    "l1_vs_l2",
    "optimizers",
    "batch_normalization",
    "cnn_vs_mlp",
    "dogs_vs_cats",
    "search_methods",
    "fine_tuning",
    "feature_caching",
    "alexnet_inside",
    "fooling",
    "selective_unfreezing",
    "photographs",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    parser = arguments.Parser(
        description=__doc__,
        epilog="example: python scripts/study.py run weight_decay, or with --all the whole course; run --help shows more",
    )
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser(
        "list",
        help="names and questions",
        description="Lists the studies in the order of a course, each with its question.",
    )
    runs = actions.add_parser("run", help="run studies", description="Runs studies, and lists all of them on one page.")
    runs.add_argument("names", nargs="*", metavar="NAME", help="studies to run")
    runs.add_argument(
        "--all", action="store_true", help="run every study that has not been run by the same command and code"
    )
    runs.add_argument("--fast", action="store_true", help="a cut of a few seconds, for tests")
    runs.add_argument("--seed", type=int, default=0, metavar="N", help="decides everything that is random (0)")
    runs.add_argument("--dataset", metavar="NAME", help="another data set, where the study allows one")
    runs.add_argument("--data", type=arguments.path, metavar="FILE", help="a file or folder, where the study takes one")
    runs.add_argument(
        "--weights", type=arguments.path, metavar="FILE", help="published weights, where the study takes some"
    )
    runs.add_argument("--backbone", metavar="NAME", help="another backbone, where the study takes one")
    runs.add_argument(
        "--set", nargs="+", default=[], metavar="NAME=VALUE", help="other settings, where the study has some"
    )
    command.add_device_option(runs)
    document = actions.add_parser(
        "document",
        help="write the results as Markdown, one picture a study",
        description="Writes the results that are in the folder of the pages as one Markdown page, with one picture a study.",
    )
    document.add_argument(
        "--to", type=arguments.path, default=Path("docs/studies.md"), metavar="FILE", help="the page (docs/studies.md)"
    )
    for action in (runs, document):
        action.add_argument(
            "--output",
            type=arguments.path,
            default=Path("runs/studies"),
            metavar="DIR",
            help="folder of the pages (runs/studies)",
        )
        action.add_argument(  # here too; what is not given leaves that of the whole command as it is
            "--debug", action="store_true", default=argparse.SUPPRESS, help="show the traceback of an error"
        )
    given = sys.argv[1:] if argv is None else argv
    return command.run(parser, study, argv, resumable="--all" in given)


def study(args: argparse.Namespace) -> None:
    """Acts on parsed options."""
    if args.action == "run" and args.all and args.names:
        raise UsageError(f"--all runs every study; leave out {' '.join(args.names)}, or --all")
    if args.action == "list":
        for name in STUDIES:
            print(f"{name:{max(map(len, STUDIES))}} {question(name)}")
    elif args.action == "document":
        from zoo.reporting.studies import write_document

        sources = {name: _source(name) for name in STUDIES}
        print(f"wrote {visible(write_document(args.to, args.output, STUDIES, sources=sources))}")
    else:
        _run(args)


def _run(args: argparse.Namespace) -> None:
    options = _options(args)
    names = STUDIES if args.all else tuple(dict.fromkeys(args.names))
    _check(names, options, of_all=args.all)
    import zoo.startup as _startup  # noqa: F401  (before Keras)

    from zoo.reporting.studies import write_index

    failed = []
    for place, name in enumerate(names, start=1):
        print(f"{f'[{place}/{len(names)}] ' if len(names) > 1 else ''}{name}: {question(name)}", flush=True)
        if args.all and _is_done(name, options):
            print(f"  done already: {visible(options.folder(name) / 'index.html')}")
            continue
        try:
            _run_one(name, options)
        except Exception as error:
            if len(names) == 1 or args.debug:
                raise
            failed.append(name)
            kind = "" if isinstance(error, ZooError | OSError) else f"{type(error).__name__}: "
            print(f"  failed: {kind}{visible(error)}", file=sys.stderr, flush=True)
        write_index(args.output, STUDIES)
    print(f"index {visible(args.output / 'index.html')}")
    if failed:
        raise ZooError(
            f"{len(failed)} of {len(names)} failed: {', '.join(failed)}; run one by itself with --debug to see why"
        )


def _options(args: argparse.Namespace) -> StudyOptions:
    settings = {name: arguments.literal(value) for name, value in arguments.assignments(args.set, "--set").items()}
    return StudyOptions(
        args.fast, args.seed, args.dataset, args.data, args.weights, args.backbone, settings, args.output
    )


def _check(names: Sequence[str], options: StudyOptions, *, of_all: bool) -> None:
    """Finds what is wrong with a request before anything is loaded."""
    if not names:
        raise UsageError(f"name a study, or --all. Known: {', '.join(STUDIES)}")
    for name in names:
        if name not in STUDIES:
            raise unknown_name("study", name, STUDIES)
        for option in options.given:
            if of_all:
                raise UsageError(f"--all runs the studies as they are; leave out --{option}, or name a study")
            if f"[--{option} " not in _docstring(name):
                raise UsageError(f"{name} takes no --{option}")
    for option in ("data", "weights"):
        path = getattr(options, option)
        if path is not None and not path.exists():
            raise UsageError(f"--{option} {path}: no such file or folder")
    there = next(folder for folder in (options.output, *options.output.absolute().parents) if folder.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise UsageError(f"--output {options.output}: cannot be written; {there} is no folder that you may write to")
    check_seed(options.seed)


def _run_one(name: str, options: StudyOptions) -> None:
    from zoo.reporting.study import StudyReport

    print(f"  {_runtime(name)}", flush=True)
    report = StudyReport(name, question(name), options.command(name), {}, options.seed, full=options.is_full)
    report.source, start = _source(name), time.perf_counter()
    importlib.import_module(f"studies.{name}").run(options, report)
    report.seconds = time.perf_counter() - start
    page = report.write(options.folder(name))
    for line in report.summary_lines():
        print(f"  {line}")
    print(f"  page {visible(page)}", flush=True)


def _is_done(name: str, options: StudyOptions) -> bool:
    """Whether the folder of a study holds the result of the same command and the same code of the study."""
    try:
        result = read_json(options.folder(name) / "result.json")
    except (OSError, ValueError):
        return False
    same = (options.command(name), _source(name))
    return (result.get("command"), result.get("source")) == same


def _source(name: str) -> str:
    """A hash of the code of a study, and of the modules beside it that it imports."""
    names, waiting = set[str](), [name]
    while waiting:
        names.add(module := waiting.pop())
        tree = ast.parse((_FOLDER / f"{module}.py").read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module == "studies":
                waiting += [alias.name for alias in node.names if alias.name not in names]
            elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("studies."):
                waiting += {(node.module or "").removeprefix("studies.")} - names
    digest = hashlib.sha256()
    for module in sorted(names):
        digest.update((_FOLDER / f"{module}.py").read_bytes())
    return digest.hexdigest()


def question(name: str) -> str:
    """The first line of a study's docstring, read without importing it."""
    return _docstring(name).splitlines()[0]


def _runtime(name: str) -> str:
    """What the docstring says of the runtime."""
    return (
        next(line for line in _docstring(name).splitlines() if line.startswith("Runtime:"))
        .removeprefix("Runtime:")
        .strip()
    )


def _docstring(name: str) -> str:
    return ast.get_docstring(ast.parse((_FOLDER / f"{name}.py").read_text(encoding="utf-8"))) or ""


if __name__ == "__main__":
    sys.exit(main())
