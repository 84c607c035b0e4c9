import pytest

import zoo


@pytest.fixture(scope="module")
def digits():
    return zoo.load_dataset("digits", limit=600)


@pytest.fixture(scope="module")
def trained(digits):
    model = zoo.build("cnn", digits.input_shape, 10, filters=(8,), num_stages=1, dropout=0.2, batch_normalization=True)
    zoo.train(model, digits, zoo.Recipe(optimizer="adam", learning_rate=0.01, epochs=4), verbose=False)
    return model
