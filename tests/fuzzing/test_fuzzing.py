"""Every reader of files, with damaged ones; and the fuzzer itself, with readers that have the faults it looks for.

`make fuzz` does the same for as long as it is given, guided by coverage.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import types
from pathlib import Path

import fuzz
import pytest
from fuzz_mutations import changed
from fuzz_readers import READERS, fault

FILES = 40  # for each reader
needs_proc = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the fuzzer needs the /proc of Linux")


@pytest.fixture(autouse=True)
def _models_of_runs_are_not_loaded(monkeypatch):
    """The files of models have readers of their own."""
    monkeypatch.setattr("zoo.training.run._load_model", lambda path: types.SimpleNamespace())


@pytest.mark.parametrize("name", READERS)
def test_good_files_are_read(name, tmp_path):
    for sample in READERS[name].samples():
        assert fault(READERS[name], tmp_path, sample) is None


@pytest.mark.filterwarnings("ignore")  # Pillow, NumPy and Keras say what they find odd
@pytest.mark.parametrize("name", READERS)
def test_damaged_files_are_read_or_refused(name, tmp_path):
    reader, numbers = READERS[name], random.Random(name)
    samples = reader.samples()
    faults = {}
    for _ in range(FILES if not reader.heavy else FILES // 3):
        content = changed(numbers.choice(samples), samples, numbers)
        if found := fault(reader, tmp_path, content):
            faults[found] = content
    assert not faults


# What the fuzzer looks for, each as a reader that has it.
FAULTS = {
    "ValueError: wrong": "raise ValueError('wrong')",
    "RecursionError": "read(folder, content)",
    "a message of several lines": "raise SeveralLinesError",
    "ForbiddenError: os.system": "os.system('touch executed')",
    "ForbiddenError: subprocess.Popen": "subprocess.run(['touch', 'executed'])",
    "ForbiddenError: socket.connect": "socket.socket().connect(('127.0.0.1', 9))",
    "ForbiddenError: pickle.find_class": "pickle.loads(pickle.dumps(Path))",
    "ForbiddenError: writes": "Path('/tmp/elsewhere').write_text('')",
    "it takes 0.5 seconds or more": "compute(0.6)",
    "it takes 64 MB or more": "held.append(bytearray(b'a') * 130_000_000)",
}
PROGRAM = """
import os, pickle, re, socket, subprocess, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import fuzz
from fuzz_readers import READERS, Reader
from zoo.errors import ZooError

class SeveralLinesError(ZooError):
    def __str__(self):
        return chr(10).join("ab")

def compute(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass

held, here = [], Path(sys.argv[2])
forbid, fuzz.forbid = fuzz.forbid, lambda folder: None
forbid(here)
fuzz.MOST_SECONDS, fuzz.MOST_MEMORY = 0.5, 2**26
for number, action in enumerate({actions!r}):
    space = dict(globals())
    exec("def read(folder, content):" + chr(10) + "    if content not in (b'good', b'fine'):" + chr(10) + "        " + action, space)
    READERS["faulty"] = Reader(space["read"], lambda: [b"good", b"fine"], ("__main__",))
    (here / str(number)).mkdir()
    fuzz.explore("faulty", 600, 0, here / str(number), most=3)
"""


@pytest.fixture(scope="module")
def explored(tmp_path_factory):
    """The folder of a process that has explored all of them."""
    folder = tmp_path_factory.mktemp("explored")
    program = PROGRAM.format(actions=list(FAULTS.values()))
    subprocess.run([sys.executable, "-c", program, Path(fuzz.__file__).parent, folder], check=True, cwd=folder)
    return folder


@needs_proc
@pytest.mark.parametrize("expected", FAULTS)
def test_a_fault_of_any_kind_is_found_and_its_file_kept(expected, explored):
    folder = explored / str(list(FAULTS).index(expected))
    found = json.loads((folder / "report").read_text())["found"]
    start = expected.removesuffix(" seconds or more").removesuffix("64 MB or more").rstrip("0123456789.")
    assert [what for what in found if what.startswith(start)], found
    texts = [file.read_text().strip() for file in (folder / "findings").glob("*.txt")]
    assert sorted(texts) == sorted(found)
    assert not (explored / "executed").exists()


# A program, what is said of it, and the seconds that it may do nothing in.
ENDS = [
    ("while True: pass", "no answer after", 60.0),
    ("import time; time.sleep(60)", "no answer after 0.", 0.5),
    ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "the process died (SIGSEGV)", 60.0),
    ("raise SystemExit(3)", "the process died (exit code 3)", 60.0),
]


@needs_proc
@pytest.mark.parametrize(("program", "expected", "waiting"), ENDS)
def test_a_process_that_hangs_or_dies_is_noticed(program, expected, waiting, tmp_path, monkeypatch):
    monkeypatch.setattr(fuzz, "MOST_SECONDS", 0.1)
    monkeypatch.setattr(fuzz, "MOST_WAITING", waiting)
    (tmp_path / "current").write_bytes(b"a file")
    process = subprocess.Popen([sys.executable, "-c", program])
    assert fuzz._watched(process, tmp_path).startswith(expected)
    assert process.poll() is not None


def test_a_process_that_ends_well_is_no_finding(tmp_path):
    assert fuzz._watched(subprocess.Popen([sys.executable, "-c", "pass"]), tmp_path) is None


def test_what_reaches_new_lines_is_damaged_further():
    """What makes the search more than guessing: a longer way through the modules that are looked at is noticed."""
    coverage = fuzz.Coverage(("fuzz_mutations",))
    with coverage:
        changed(b"content", [b"content"], random.Random(0))
    assert coverage.new > 5
    with coverage:
        changed(b"content", [b"content"], random.Random(0))
    assert coverage.new == 0
    with coverage:
        for seed in range(20):
            changed(b"content", [b"content"], random.Random(seed))
    assert coverage.new > 5
    with coverage:
        json.dumps({"not": "looked at"})
    assert coverage.new == 0
