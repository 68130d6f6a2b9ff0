"""Write ``keras_reference.npz``: what Keras' recurrent layers answer on small ragged batches, and their gradients.

Run ``python tests/make_keras_reference.py``; needs keras and jax, which the test that reads the file does not.

A case is a ``Sequential`` model of recurrent layers and a Dense layer on a masked batch, in float64, stored as one
record, as those of ``make_torch_reference.py``: x (B, T, I), zero behind the end of each sequence, lengths (B,), the
weights by their paths behind ``parameter/``, y (B, T, O), dy, and the derivatives of <dy, y> behind ``gradient/``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from make_torch_reference import LENGTHS, H, I, O, numbers, padded, record

FILE = Path(__file__).with_name("keras_reference.npz")
KINDS = ("rnn-tanh", "rnn-relu", "lstm", "gru-after", "gru-before")
LAYERS = {"one-layer": (1, False), "two-layers-bidirectional": (2, True)}


def layer_of(kind: str, bidirectional: bool) -> Any:
    """A recurrent layer of Keras, with JAX's tanh: that of Keras 3.15 rounds float64 to float32."""
    import jax
    from keras import layers, saving

    @saving.register_keras_serializable()  # Bidirectional makes its layers from their description
    def tanh(x):
        return jax.numpy.tanh(x)

    name, _, choice = kind.partition("-")
    made = {
        "rnn": lambda: layers.SimpleRNN(H, activation=tanh if choice == "tanh" else choice, return_sequences=True),
        "lstm": lambda: layers.LSTM(H, activation=tanh, return_sequences=True),
        "gru": lambda: layers.GRU(H, activation=tanh, reset_after=choice == "after", return_sequences=True),
    }[name]()
    return layers.Bidirectional(made) if bidirectional else made


def case(kind: str, n_layers: int, bidirectional: bool, rng: np.random.Generator) -> Iterator[tuple[str, Any]]:
    """Names and arrays of one case."""
    import jax
    import keras

    keras.utils.clear_session()  # names begin anew
    x, dy = padded(rng, I), padded(rng, O)
    recurrent = [layer_of(kind, bidirectional) for _ in range(n_layers)]
    model = keras.Sequential([keras.Input((None, I)), keras.layers.Masking(), *recurrent, keras.layers.Dense(O)])
    model.set_weights([numbers(rng, weight.shape) for weight in model.weights])
    fixed = [variable.value for variable in model.non_trainable_variables]

    def loss(values):
        y, _ = model.stateless_call(values, fixed, x)
        return (dy * y).sum(), y

    values = [weight.value for weight in model.trainable_variables]
    gradients, y = jax.grad(loss, has_aux=True)(values)
    yield from {"lengths": np.array(LENGTHS), "x": x, "y": np.array(y), "dy": dy}.items()
    for weight, value, gradient in zip(model.trainable_variables, values, gradients, strict=True):
        yield f"parameter/{weight.path}", np.array(value)
        yield f"gradient/{weight.path}", np.array(gradient)


def main() -> None:
    os.environ["KERAS_BACKEND"] = "jax"
    import jax
    import keras

    jax.config.update("jax_enable_x64", True)
    keras.config.set_floatx("float64")
    cases = {f"{kind}-{layers}": (kind, *LAYERS[layers]) for kind in KINDS for layers in LAYERS}
    rngs = np.random.default_rng(1).spawn(len(cases))
    records = {name: record(dict(case(*cases[name], rng))) for name, rng in zip(cases, rngs, strict=True)}
    np.savez_compressed(FILE, **records)


if __name__ == "__main__":
    main()
