"""Text encoders between the ports of a bundle."""

from __future__ import annotations

from torch import Tensor, nn


class TextStates(nn.Module):
    """A text encoder's last hidden state, after its final norm."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, token_ids: Tensor) -> Tensor:
        """(B, L) -> (B, L, width)."""
        states: Tensor = self.network(input_ids=token_ids).last_hidden_state
        return states
