import pytest
from script_modules import load


@pytest.fixture
def call(capsys):
    """Runs a script's main and gives (exit code, standard output, standard error)."""

    def run(name, *arguments):
        capsys.readouterr()
        try:
            code = load(name).main([str(a) for a in arguments])
        except SystemExit as stop:  # argparse
            code = stop.code
        return code, *capsys.readouterr()

    return run
