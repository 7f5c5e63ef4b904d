"""The LSTM of the local-motion paper (Eq. 4), plain and convolutional.

    gates of the input, all timesteps at once      W_x X_t + b
    + gates of the state, step by step             W_h H_{t-1}
    -> input, forget, candidate, output            C_t, H_t

One bias vector and no peepholes: Eq. 4 shows peepholes (W_c), but the published parameter
counts exclude them, as they exclude the second bias of `nn.LSTM`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

#: (hidden, memory), each (B, C, ...).
State = tuple[Tensor, Tensor]


class RecurrentCell(nn.Module):
    """An LSTM whose connections are any two modules that give four times C channels.

    Args:
        input_gates: (B, ...) inputs to (B, 4 C, ...), with the bias.
        recurrent_gates: (B, C, ...) hidden states to (B, 4 C, ...), without one.
        dropout: of the recurrent connections; a sequence keeps one mask, as in Keras.
    """

    def __init__(
        self, input_gates: nn.Module, recurrent_gates: nn.Module, dropout: float = 0.2
    ) -> None:
        super().__init__()
        self.input_gates = input_gates
        self.recurrent_gates = recurrent_gates
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, ...) inputs to the hidden state (B, C, ...) of the last timestep."""
        gates = self.input_gates(x.flatten(0, 1)).unflatten(0, x.shape[:2])  # (B, T, 4C, ...)
        return self.run(gates.unbind(1))

    def run(self, gates: tuple[Tensor, ...] | list[Tensor]) -> Tensor:
        """T input gates, (B, 4 C, ...) each, to the last hidden state (B, C, ...)."""
        hidden, memory = self.step(gates[0], None)
        keep = self.dropout(torch.ones_like(hidden)) if self.training else None
        for gate in gates[1:]:
            seen = hidden if keep is None else hidden * keep
            hidden, memory = self.step(gate, (seen, memory))
        return hidden

    def step(self, gates: Tensor, state: State | None) -> State:
        """One timestep; None is the state of zeros before the first, which adds no gates."""
        if state is not None:
            gates = gates + self.recurrent_gates(state[0])
        entry, forget, candidate, exit_ = gates.chunk(4, dim=1)
        memory = entry.sigmoid() * candidate.tanh()
        if state is not None:
            memory = memory + forget.sigmoid() * state[1]
        return exit_.sigmoid() * memory.tanh(), memory


def lstm_cell(features: int, units: int, dropout: float) -> RecurrentCell:
    """(B, T, features) to (B, units)."""
    return RecurrentCell(
        nn.Linear(features, 4 * units), nn.Linear(units, 4 * units, bias=False), dropout
    )


def conv_lstm_cell(channels: int, dropout: float) -> RecurrentCell:
    """(B, T, C, H, W) to (B, C, H, W), 3x3 kernels."""
    return RecurrentCell(
        nn.Conv2d(channels, 4 * channels, 3, padding=1),
        nn.Conv2d(channels, 4 * channels, 3, padding=1, bias=False),
        dropout,
    )
