"""What a user imports: fast, quiet, complete."""

import subprocess
import sys

import pytest

import tuning
import zoo


def run_python(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("package", ["zoo", "tuning"])
def test_importing_loads_no_tensorflow(package):
    heavy = "('tensorflow', 'keras', 'keras_tuner', 'pandas', 'scipy', 'matplotlib')"
    done = run_python(f"import sys, {package}; print([m for m in {heavy} if m in sys.modules])")
    assert done.stdout.strip() == "[]", done.stderr


def test_lists_load_no_tensorflow():
    done = run_python("import sys, zoo; zoo.list_models(); zoo.list_datasets(); print('tensorflow' in sys.modules)")
    assert done.stdout.strip() == "False", done.stderr


@pytest.mark.parametrize("module", [zoo, tuning], ids=lambda m: m.__name__)
def test_every_public_name_is_there_and_documented(module):
    for name in module.__all__:
        value = getattr(module, name)
        assert name == "__version__" or value.__doc__, name
    assert set(module.__all__) <= set(dir(module))
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = module.no_such_name


def test_nothing_is_written_to_standard_error():
    program = "import zoo; d = zoo.load_dataset('blobs'); m = zoo.build('logistic', d.input_shape, 2); zoo.train(m, d, zoo.Recipe(epochs=1), verbose=False); zoo.evaluate(m, d.test)"
    done = run_python(program)
    assert done.returncode == 0
    assert done.stdout == ""
    assert done.stderr == ""
