from __future__ import annotations

import pytest

import zoo
from zoo import errors

KINDS = [errors.UsageError, errors.DataError, errors.ExportError, errors.LockedError]


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_is_caught_as_a_zoo_error(kind):
    with pytest.raises(zoo.ZooError):
        raise kind("no")


def test_a_usage_error_is_a_value_error_and_a_data_error_is_not():
    assert issubclass(zoo.UsageError, ValueError)
    assert not issubclass(zoo.DataError, ValueError)


@pytest.mark.parametrize(
    ("received", "nearest"),
    [
        ("cnnn", "did you mean 'cnn'?"),
        ("resnet5", "did you mean 'resnet56'"),
        ("Softmax", "did you mean 'softmax'?"),
        ("CNN", "did you mean 'cnn'?"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(received, nearest):
    message = str(errors.unknown_name("model", received, ["softmax", "resnet56", "cnn"]))
    assert message.startswith(f"unknown model {received!r}")
    assert nearest in message


def test_a_name_like_none_is_answered_with_all_in_order():
    error = errors.unknown_name("model", "qqqqq", iter(["mlp", "cnn"]))
    assert isinstance(error, errors.UsageError)
    assert str(error) == "unknown model 'qqqqq'. Known: cnn, mlp"


def test_the_message_stays_one_line_whatever_the_name():
    assert "\n" not in str(errors.unknown_name("model", "cnn\nrm", ["cnn"]))
    assert "unknown model '3'" in str(errors.unknown_name("model", 3, ["cnn"]))


def test_a_message_is_one_line_of_text_whatever_is_in_it():
    for kind in KINDS:
        error = kind("a\nb\x1b[31m\udcff\u202ec: no such file")
        assert str(error) == r"a\nb\x1b[31m\udcff\u202ec: no such file"
        assert str(type(error)(*error.args)) == str(error)  # as it comes back from another process


def test_a_very_long_message_keeps_its_beginning_and_its_end():
    message = str(zoo.DataError(f"{'x' * 5000}: no such file"))
    assert len(message) <= 1000
    assert message.startswith("xxx")
    assert message.endswith("xxx: no such file")


def test_a_very_long_name_is_shortened():
    message = str(errors.unknown_name("model", "n" * 10_000, ["cnn"]))
    assert message == f"unknown model '{'n' * 77}...'. Known: cnn"


@pytest.mark.parametrize("value", [0, -1, 1.5, True, None, "3", float("nan"), 7, 10**30])
def test_a_count_is_a_whole_number_in_its_range(value):
    errors.check_count("epochs", 6, below=7)
    with pytest.raises(
        zoo.UsageError, match=r"epochs must be a whole number of at least 1 and below 7\. Received: epochs="
    ):
        errors.check_count("epochs", value, below=7)


@pytest.mark.parametrize("seed", [-1, 0.5, 2**63, "0", None])
def test_a_seed_is_what_tensorflow_takes(seed):
    errors.check_seed(2**63 - 1)
    with pytest.raises(zoo.UsageError, match="seed must be a whole number of at least 0"):
        errors.check_seed(seed)
