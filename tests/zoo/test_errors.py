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
