"""The flow's loss on a batch, under either attention mask, with every draw of the reference given.

B rows, L tokens, T frames, D model, F inner width of the feed-forward.
"""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple
from unittest import mock

import torch

from ..loading import load_flow
from ..options import Options
from ..writing import Writer
from .learning import Tensors, learn

_log = logging.getLogger("capture")
_TOKENS = (40, 33, 51, 27)  # chunks of 50 frames end inside all but the last row
_PROMPTS = (0, 14, 0, 16)  # frames, up to 0.3 of the row's
_CONDITIONED = (True, True, False, True)
_MASKS = {"full": 0.9, "chunks": 0.1}
_SPEAKER = 192


class Drawn(NamedTuple):
    """The batch: token int (B, L), mel (B, T, 80), embedding (B, 192); and the draws: time (B,), noise (B, T, 80),
    guidance (B,), of which values up to 0.2 lose their condition."""

    token: torch.Tensor
    mel: torch.Tensor
    embedding: torch.Tensor
    time: torch.Tensor
    noise: torch.Tensor
    guidance: torch.Tensor


class _Script:
    """Stands for the module `random`: the coin of the mask first, then for each row whether and where its prompt
    ends."""

    def __init__(self, coin: float) -> None:
        rows = [(0.1, None) if not frames else (0.9, frames) for frames in _PROMPTS]
        self._coins = iter([coin, *(value for value, _ in rows)])
        self._lengths = iter([frames for _, frames in rows if frames])

    def random(self) -> float:
        return next(self._coins)

    def randint(self, low: int, high: int) -> int:
        length = next(self._lengths)
        assert low <= length <= high
        return length


def capture_flow_training(options: Options, writer: Writer, device: str) -> None:
    """Writes training_flow_full and training_flow_chunks."""
    flow = load_flow(options.model).to(device).train()
    weights = {name: value.clone() for name, value in flow.state_dict().items()}
    drawn = _draw(flow.vocab_size, flow.output_size, flow.token_mel_ratio)
    kept = _draw_kept(flow, drawn.mel.shape[:2])
    for name, coin in _MASKS.items():
        _log.info("training: flow, mask %s", name)
        flow.float().load_state_dict(weights)

        def loss(coin: float = coin) -> Tensors:
            with _scripted(flow, drawn, kept, coin):
                return flow(_as_batch(drawn, flow), torch.device(device))

        tensors, note = learn(flow, loss, "kept/N/ATTENTION|FEED_FORWARD is what dropout keeps.")
        tensors |= drawn._asdict() | {f"kept/{name}": mask for name, mask in kept.items()}
        tensors |= {"token_len": torch.tensor(_TOKENS), "prompt_frames": torch.tensor(_PROMPTS)}
        writer.tensors(f"training_flow_{name}", tensors, note=note, device=device, dtype="float32", coin=str(coin))


def _draw(vocabulary: int, bands: int, ratio: int) -> Drawn:
    generator = torch.Generator().manual_seed(0)
    rows, tokens = len(_TOKENS), max(_TOKENS)
    mel = torch.randn(rows, ratio * tokens, bands, generator=generator)
    token = torch.randint(vocabulary, (rows, tokens), generator=generator)
    for row, length in enumerate(_TOKENS):
        mel[row, ratio * length :], token[row, length:] = 0, 0
    return Drawn(
        token, mel,
        torch.randn(rows, _SPEAKER, generator=generator),
        torch.rand(rows, generator=generator),
        torch.randn(mel.shape, generator=generator),
        torch.tensor([0.9 if kept else 0.1 for kept in _CONDITIONED]),
    )  # fmt: skip


def _draw_kept(flow: torch.nn.Module, shape: tuple[int, ...]) -> Tensors:
    """Bool (B, T, D or F) for each dropout that is one, by block and place."""
    generator = torch.Generator().manual_seed(1)
    kept = {}
    for number, block in enumerate(flow.decoder.estimator.transformer_blocks):
        for place, (dropout, width) in _dropouts(block).items():
            kept[f"{number}/{place}"] = torch.rand(*shape, width, generator=generator) >= dropout.p
    return kept


def _dropouts(block: torch.nn.Module) -> dict[str, tuple[torch.nn.Dropout, int]]:
    return {
        "attention": (block.attn.to_out[1], block.attn.to_out[0].out_features),
        "feed_forward": (block.ff.ff[1], block.ff.ff[2].in_features),
    }


@contextmanager
def _scripted(flow: torch.nn.Module, drawn: Drawn, kept: Tensors, coin: float) -> Iterator[None]:
    """While this lasts, the reference draws what is given."""
    dtype = flow.input_embedding.weight.dtype
    draws = iter([drawn.time[:, None, None].to(dtype), drawn.guidance.to(dtype)])
    noise = drawn.noise.transpose(1, 2).to(dtype)
    with ExitStack() as patches:
        enter = patches.enter_context
        enter(mock.patch("cosyvoice.flow.flow.random", _Script(coin)))
        enter(mock.patch.object(torch, "rand", lambda *_, **__: next(draws)))
        enter(mock.patch.object(torch, "randn_like", lambda _: noise))
        for number, block in enumerate(flow.decoder.estimator.transformer_blocks):
            for place, (dropout, _) in _dropouts(block).items():
                multiplier = kept[f"{number}/{place}"].to(dtype) / (1 - dropout.p)
                enter(mock.patch.object(dropout, "forward", multiplier.mul))
        yield


def _as_batch(drawn: Drawn, flow: torch.nn.Module) -> Tensors:
    dtype, lengths = flow.input_embedding.weight.dtype, torch.tensor(_TOKENS, dtype=torch.int32)
    return {
        "speech_token": drawn.token,
        "speech_token_len": lengths,
        "speech_feat": drawn.mel.to(dtype),
        "speech_feat_len": flow.token_mel_ratio * lengths,
        "embedding": drawn.embedding.to(dtype),
    }
