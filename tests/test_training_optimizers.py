import keras
import numpy as np
import pytest

from deeplab_tf import config
from deeplab_tf.errors import UserError
from deeplab_tf.training.optimizers import DECOUPLED, make_optimizer


def variables():
    return [keras.Variable(np.full(3, 2.0), name=name) for name in ("kernel", "beta")]


def make(name, kernel, beta, weight_decay=0.5, rate_factors=(), **settings):
    return make_optimizer(
        config.Optimizer(name=name, **settings),
        learning_rate=0.1,
        weight_decay=weight_decay,
        variables=[kernel, beta],
        decayed=[kernel],
        rate_factors=rate_factors,
    )


@pytest.mark.parametrize("name", config.OPTIMIZERS)
def test_every_listed_optimizer_steps_downhill(name):
    kernel, beta = variables()
    optimizer = make(name, kernel, beta, weight_decay=0.0)
    optimizer.apply([np.ones(3, np.float32)] * 2, [kernel, beta])
    assert (np.array(kernel) < 2).all()
    assert (np.array(beta) < 2).all()
    assert optimizer.name == name


@pytest.mark.parametrize("name", DECOUPLED)
def test_decoupled_decay_spares_what_does_not_decay(name):
    kernel, beta = variables()
    optimizer = make(name, kernel, beta)
    optimizer.apply([np.zeros(3, np.float32)] * 2, [kernel, beta])
    np.testing.assert_allclose(kernel, 2 * (1 - 0.1 * 0.5), rtol=1e-6)
    np.testing.assert_allclose(beta, 2)


@pytest.mark.parametrize("name", DECOUPLED)
def test_decoupled_decay_follows_the_variables_own_rate(name):
    kernel, beta = variables()
    optimizer = make(name, kernel, beta, rate_factors=[0.2, 1.0])
    optimizer.apply([np.zeros(3, np.float32)] * 2, [kernel, beta])
    np.testing.assert_allclose(kernel, 2 * (1 - 0.1 * 0.2 * 0.5), rtol=1e-6)
    optimizer = make(name, *(still := variables()), rate_factors=[0.0, 0.0])
    optimizer.apply([np.ones(3, np.float32)] * 2, still)
    np.testing.assert_array_equal(still[0], 2.0)


def test_momentum_is_that_of_the_paper():
    kernel, beta = variables()
    optimizer = make("sgd", kernel, beta)
    for _ in range(3):
        optimizer.apply([np.ones(3, np.float32)] * 2, [kernel, beta])
    velocity, expected = 0.0, 2.0
    for _ in range(3):
        velocity = 0.9 * velocity + 1
        expected -= 0.1 * velocity
    np.testing.assert_allclose(kernel, expected, rtol=1e-6)


def test_arguments_reach_the_constructor():
    optimizer = make("adam", *variables(), arguments="beta_2=0.5,amsgrad=True")
    assert optimizer.beta_2 == 0.5
    assert optimizer.amsgrad is True


@pytest.mark.parametrize(
    "text", ["beta_2", "0.9", "beta_3=1", "x=open('f')", "a=1)+(2"]
)
def test_wrong_arguments_are_refused(text):
    with pytest.raises(UserError, match=r"optimizer\.arguments"):
        make("adam", *variables(), arguments=text)
