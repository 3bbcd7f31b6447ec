"""The language model's loss on a batch in either layout.

B rows, I, L, S ids of instruction, text and speech, padded with zeros.
"""

import logging
from typing import NamedTuple
from unittest import mock

import torch
from torch.nn.utils.rnn import pad_sequence

from ..loading import load_llm
from ..options import Options
from ..writing import Writer
from .learning import learn

_log = logging.getLogger("capture")
_LENGTHS = ((3, 7, 40), (5, 10, 31), (4, 5, 12), (3, 12, 37))  # instruction, text, speech; the third takes no turns
_COINS = {"unistream": 0.9, "bistream": 0.1}


class _Coins:
    """Stands for the module `random`: every coin falls alike."""

    def __init__(self, value: float) -> None:
        self.value = value

    def random(self) -> float:
        return self.value


class Batch(NamedTuple):
    """Ids int (B, length) and lengths int (B,) of the three parts."""

    instruct: tuple[torch.Tensor, torch.Tensor]
    text: tuple[torch.Tensor, torch.Tensor]
    speech: tuple[torch.Tensor, torch.Tensor]


def capture_llm_training(options: Options, writer: Writer, device: str) -> None:
    """Writes training_llm_unistream and training_llm_bistream."""
    model = load_llm(options.model, options.llm_stem).to(device).train()
    vocabulary = len(model.llm.model.model.embed_tokens.weight)
    drawn = _draw(vocabulary, model.speech_token_size)
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    for layout, coin in _COINS.items():
        _log.info("training: language model, %s", layout)
        model.float().load_state_dict(weights)

        def loss(coin: float = coin) -> dict[str, torch.Tensor]:
            with mock.patch("cosyvoice.llm.llm.random", _Coins(coin)):
                return model(_as_batch(drawn), torch.device(device))

        tensors, note = learn(model, loss, "acc is the accuracy.")
        tensors |= {f"{name}{suffix}": part[index] for name, part in drawn._asdict().items()
                    for index, suffix in enumerate(("", "_len"))}  # fmt: skip
        writer.tensors(f"training_llm_{layout}", tensors, note=note, device=device, dtype="float32", coin=str(coin))


def _draw(vocabulary: int, speech: int) -> Batch:
    generator = torch.Generator().manual_seed(0)

    def ids(size: int, part: int) -> tuple[torch.Tensor, torch.Tensor]:
        rows = [torch.randint(size, (lengths[part],), generator=generator) for lengths in _LENGTHS]
        return pad_sequence(rows, batch_first=True), torch.tensor([len(row) for row in rows], dtype=torch.int32)

    return Batch(ids(vocabulary, 0), ids(vocabulary, 1), ids(speech, 2))


def _as_batch(drawn: Batch) -> dict[str, torch.Tensor]:
    names = {"instruct": "instruct_token", "text": "text_token", "speech": "speech_token"}
    return {f"{names[name]}{suffix}": part[index] for name, part in drawn._asdict().items()
            for index, suffix in enumerate(("", "_len"))}  # fmt: skip
