"""Write ``torch_reference.npz``: what PyTorch's recurrent modules answer on small ragged batches, and their gradients.

Run ``python tests/make_torch_reference.py``; needs torch, which the test that reads the file does not.

A case is a module ``rnn`` and a linear layer ``readout`` on a packed batch, in float64. It is stored as one record with
the fields x (B, T, I), lengths (B,), h0 and c0 (layers * directions, B, H); the parameters under their own names behind
``parameter/``; y (B, T, O), h (layers * directions, B, H) and c; and, for the loss <dy, y> + <dh, h> + <dc, c>, behind
``gradient/`` its derivatives by x, h0, c0 and the parameters.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

FILE = Path(__file__).with_name("torch_reference.npz")
KINDS = ("rnn-tanh", "rnn-relu", "lstm", "gru")
LAYERS = {"one-layer": (1, False), "two-layers-bidirectional": (2, True)}
LENGTHS = (5, 3, 3, 1)
I, H, O = 3, 4, 2


def numbers(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Random multiples of 1/64 between -1.5 and 1.5, which take little room."""
    return rng.integers(-96, 97, shape) / 64


def padded(rng: np.random.Generator, width: int) -> np.ndarray:
    """Random (B, T, width) with zeros behind the end of each sequence."""
    values = numbers(rng, (len(LENGTHS), max(LENGTHS), width))
    return values * (np.arange(max(LENGTHS)) < np.array(LENGTHS)[:, None])[..., None]


def case(kind: str, n_layers: int, bidirectional: bool, rng: np.random.Generator) -> Iterator[tuple[str, Any]]:
    """Names and arrays of one case."""
    import torch
    from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

    makers = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}
    options = {"nonlinearity": kind.partition("-")[2]} if kind.startswith("rnn") else {}
    rnn = makers.get(kind, torch.nn.RNN)(I, H, n_layers, batch_first=True, bidirectional=bidirectional, **options)
    model = torch.nn.ModuleDict({"rnn": rnn, "readout": torch.nn.Linear(H * (1 + bidirectional), O)}).double()
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for parameter in parameters.values():
            parameter.copy_(torch.from_numpy(numbers(rng, tuple(parameter.shape))))

    n_states, B = n_layers * (1 + bidirectional), len(LENGTHS)
    states = ("h", "c") if kind == "lstm" else ("h",)
    inputs = {"x": padded(rng, I), **{f"{s}0": numbers(rng, (n_states, B, H)) for s in states}}
    cotangents = {"dy": padded(rng, O), **{f"d{s}": numbers(rng, (n_states, B, H)) for s in states}}
    leaves = {name: torch.from_numpy(array).requires_grad_() for name, array in inputs.items()}

    packed = pack_padded_sequence(leaves["x"], torch.tensor(LENGTHS), batch_first=True)
    initial = (leaves["h0"], leaves["c0"]) if kind == "lstm" else leaves["h0"]
    answer, final = rnn(packed, initial)
    y = model["readout"](pad_packed_sequence(answer, batch_first=True)[0])
    outputs = dict(zip(("y", *states), (y, *(final if kind == "lstm" else (final,))), strict=True))
    loss = sum((torch.from_numpy(cotangents[f"d{name}"]) * output).sum() for name, output in outputs.items())
    loss.backward()

    yield "lengths", np.array(LENGTHS)
    yield from (inputs | cotangents).items()
    yield from ((name, output.detach().numpy()) for name, output in outputs.items())
    yield from ((f"gradient/{name}", leaf.grad.numpy()) for name, leaf in leaves.items())
    for name, parameter in parameters.items():
        yield f"parameter/{name}", parameter.detach().numpy()
        yield f"gradient/{name}", parameter.grad.numpy()


def record(fields: dict[str, np.ndarray]) -> np.ndarray:
    """One array () of a structured type: an archive of many small arrays would be mostly headers."""
    found = np.zeros((), [(name, array.dtype, array.shape) for name, array in fields.items()])
    for name, array in fields.items():
        found[name] = array
    return found


def main() -> None:
    cases = {f"{kind}-{layers}": (kind, *LAYERS[layers]) for kind in KINDS for layers in LAYERS}
    rngs = np.random.default_rng(0).spawn(len(cases))
    records = {name: record(dict(case(*cases[name], rng))) for name, rng in zip(cases, rngs, strict=True)}
    np.savez_compressed(FILE, **records)


if __name__ == "__main__":
    main()
