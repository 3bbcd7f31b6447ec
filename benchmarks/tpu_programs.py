"""The programs of the released sizes as a TPU's compiler is given them: shapes alone, on any mesh.

Sizes are those that accelerators run by default: what `cosy-jax batch`, `synthesize` and the engine ask for.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec

from benchmarks import counts
from benchmarks.counts import Count
from cosy_jax.checkpoint.prepare import looped
from cosy_jax.checkpoint.reader import storage_dtype
from cosy_jax.checkpoint.stages import expected_shapes
from cosy_jax.config import ModelConfig
from cosy_jax.engine.limits import SHARE, TPU_ROWS, fitting_pieces
from cosy_jax.flow.cfm import FlowInputs, solve
from cosy_jax.flow.pages import FlowPages, empty_pages, page_bytes
from cosy_jax.flow.streaming import PieceBatch, solve_pieces
from cosy_jax.llm.context import ContextBatch
from cosy_jax.llm.decode import advance, append, generate, start
from cosy_jax.llm.policy import DecodePolicy
from cosy_jax.llm.sampling import RasSampler
from cosy_jax.llm.state import DecodeState, Limits, empty, gather, insert, resize
from cosy_jax.nn import backend, buckets
from cosy_jax.nn.devices import Devices
from cosy_jax.nn.precision import BFLOAT16, FLOAT32, Precision
from cosy_jax.prompt.speaker_encoder import embed_speaker
from cosy_jax.prompt.speech_tokenizer import encode_speech
from cosy_jax.vocoder.vocode import decode

ROWS, STARTED = 64, 8  # of the language model, and those that are prefilled together
CONTEXT, SLOTS = 256, 1024  # positions
UTTERANCES, FRAMES = 16, 500  # of flow and vocoder
PIECE_FRAMES, WINDOW, PAST, PAGES = 200, 350, 500, 64  # of streams: frames, and pages at most
LOADED = 3 * 2**30  # bytes of all weights, and of what the language model keeps
RECORDING = 3000  # frames of both encoders' features: 30 s
FLOAT32_PASSES = 6  # products of bfloat16 to one of float32 at the highest precision


@dataclass(frozen=True)
class Program:
    """`lower()` gives the program for a mesh; `work` counts what it does (of a loop, one step), with so many bytes a
    weight and a value, and so many products of bfloat16 to one of its own. `copied`: each of a mesh's rows of devices
    does all of it."""

    name: str
    sizes: str
    lower: Callable[[], jax.stages.Lowered]
    work: Count = Count()
    value_size: int = 2
    passes: int = 1
    copied: bool = False

    @property
    def flops(self) -> float:
        """Of products of bfloat16."""
        return self.passes * self.work.flops

    @property
    def bytes(self) -> float:
        return self.work.bytes(self.value_size, self.value_size)


@dataclass(frozen=True)
class Shapes:
    """Arrays that do not exist, as they would lie on the devices."""

    devices: Devices
    config: ModelConfig
    memory: float  # of a chip, bytes
    precision: Precision = BFLOAT16

    @property
    def pieces(self) -> tuple[int, int]:
        """Pieces of streams in one program, and the pages of their pasts, by the rule of the engine."""
        with backend.pretend("tpu"):
            free, page = int(self.memory) - LOADED, page_bytes(self.config.flow, self.precision)
        fitting = min(TPU_ROWS, fitting_pieces(int((1 - SHARE) * free), page))
        return max(rows for rows in buckets.STREAM_ROWS if rows <= fitting), min(PAGES, int(SHARE * free) // page)

    def array(self, *shape: int, dtype: Any = jnp.float32, rows: bool = True) -> Any:
        """One of them; Any, since it stands for an array in the networks' dataclasses."""
        return self.placed(jax.ShapeDtypeStruct(shape, dtype), rows)

    def placed(self, tree: Any, rows: bool = True) -> Any:
        """A pytree of shapes, whose first axis is that of the rows or which every device has."""
        everywhere = NamedSharding(self.devices.rows_place.mesh, PartitionSpec())
        place = self.devices.rows_place if rows else everywhere
        return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place), tree)

    def pages(self, pages: FlowPages) -> FlowPages:
        """The flow's, keys and values split by heads where the weights are."""

        def split(x: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
            return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=self.devices.heads_place(x))

        return FlowPages(jax.tree.map(split, pages.layers), self.placed(pages.convolutions, rows=False))

    def params(self, stage: str) -> Any:
        precision = self.precision if stage in ("llm", "flow") else FLOAT32

        def leaf(x: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
            return jax.ShapeDtypeStruct(x.shape, storage_dtype(stage, x.shape, precision))

        stored = jax.tree.map(leaf, expected_shapes(stage, self.config))
        joined = jax.eval_shape(partial(looped, stage, config=self.config), stored)
        return jax.tree.map_with_path(self._weight, joined)

    def _weight(self, path: tuple, x: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=self.devices.weight_place(path, x))


def programs(devices: Devices, config: ModelConfig, memory: float) -> Iterator[Program]:
    """All of them, the same ones for every mesh of chips with so many bytes of memory."""
    shapes = Shapes(devices, config, memory)
    yield from _llm(shapes)
    yield from _rows(shapes)
    yield from _flow(shapes)
    yield from _vocoder(shapes)
    yield from _encoders(shapes)


def _policy(shapes: Shapes) -> DecodePolicy:
    return DecodePolicy(shapes.config.llm, RasSampler(shapes.config.sampling), shapes.precision)


def _contexts(shapes: Shapes, rows: int) -> ContextBatch:
    def count() -> Any:
        return shapes.array(rows, dtype=jnp.int32)

    ids = shapes.array(rows, CONTEXT, dtype=jnp.int32)
    return ContextBatch(ids, shapes.array(rows, CONTEXT, dtype=jnp.bool_), count(), count(), count())


def _state(shapes: Shapes, rows: int, slots: int) -> DecodeState:
    policy = _policy(shapes)
    return shapes.placed(jax.eval_shape(lambda: empty(policy, policy.cache(rows, slots), SLOTS)))


def _keys(shapes: Shapes, rows: int) -> Any:
    return shapes.placed(jax.eval_shape(lambda: jax.random.split(jax.random.key(0), rows)))


def _llm(shapes: Shapes) -> Iterator[Program]:
    params, policy, config = shapes.params("llm"), _policy(shapes), shapes.config.llm
    cache = _state(shapes, STARTED, 2 * CONTEXT).cache
    contexts, prompt = _contexts(shapes, STARTED), f"{STARTED} rows of {CONTEXT} positions"
    prefill = counts.llm_prefill(config, STARTED, CONTEXT)
    generated = partial(generate.lower, params, cache, contexts, _keys(shapes, STARTED), policy=policy, bucket=CONTEXT)
    yield Program("generate", f"{prompt}, and as many new", generated, prefill)
    yield Program("start", prompt, partial(start.lower, params, cache, contexts, policy=policy, bucket=SLOTS), prefill)
    rows = shapes.array(ROWS, dtype=jnp.int32)
    limits = Limits(rows, rows, shapes.array(ROWS, dtype=jnp.bool_))
    blocks = partial(
        advance.lower, params, _state(shapes, ROWS, SLOTS), limits, _keys(shapes, ROWS),
        policy=policy, steps=shapes.array(dtype=jnp.int32, rows=False),
        until_done=shapes.array(dtype=jnp.int32, rows=False),
    )  # fmt: skip
    yield Program("advance", f"{ROWS} rows of {SLOTS} slots, a step", blocks, counts.llm_step(config, ROWS, SLOTS))
    started, ids = shapes.array(STARTED, dtype=jnp.int32), shapes.array(STARTED, 8, dtype=jnp.int32)
    flags = shapes.array(STARTED, 8, dtype=jnp.bool_), started, shapes.array(STARTED, dtype=jnp.bool_)
    more = partial(append.lower, params, _state(shapes, STARTED, SLOTS), ids, *flags, policy=policy)
    yield Program("append", f"{STARTED} rows of 8 ids", more, counts.llm_prefill(config, STARTED, 8))


def _rows(shapes: Shapes) -> Iterator[Program]:
    """What moves rows of the language model about."""
    state, started = _state(shapes, ROWS, SLOTS), _state(shapes, STARTED, SLOTS)
    rows, sizes = shapes.array(STARTED, dtype=jnp.int32), f"{STARTED} of {ROWS} rows"
    yield Program("insert", sizes, partial(insert.lower, state, started, rows))
    yield Program("gather", sizes, partial(gather.lower, state, rows))
    larger = partial(resize.lower, state, slots=2 * SLOTS, bucket=SLOTS)
    yield Program("resize", f"{ROWS} rows to {2 * SLOTS} slots", larger)


def _flow(shapes: Shapes) -> Iterator[Program]:
    c, params, tokens = shapes.config.flow, shapes.params("flow"), FRAMES // shapes.config.flow.token_mel_ratio
    lengths = shapes.array(UTTERANCES, dtype=jnp.int32)
    inputs = FlowInputs(
        shapes.array(UTTERANCES, tokens, dtype=jnp.int32), lengths, shapes.array(UTTERANCES, FRAMES, c.mel_bands),
        lengths, shapes.array(UTTERANCES, c.speaker_dim), shapes.array(FRAMES, c.mel_bands, rows=False),
    )  # fmt: skip
    whole = partial(solve.lower, params, inputs, config=c, precision=shapes.precision)
    work = counts.flow(c, UTTERANCES, tokens)
    yield Program("flow", f"{UTTERANCES} utterances of {FRAMES} frames", whole, work)
    rows, count = shapes.pieces
    pages = shapes.pages(jax.eval_shape(lambda: empty_pages(c, shapes.precision, count, 2 * rows)))
    batch = _pieces(shapes)
    pieces = partial(solve_pieces.lower, params, pages, batch, config=c, precision=shapes.precision)
    passes = counts.dit_pass(c, 2 * rows, PIECE_FRAMES)
    looked = counts.attention(2 * rows, PIECE_FRAMES, PAST, c.heads, c.heads, c.head_dim) * c.depth
    sizes = f"{rows} pieces of {PIECE_FRAMES} frames behind {PAST}, {count} pages"
    yield Program("flow, pieces", sizes, pieces, (passes + looked) * c.num_steps, copied=True)


def _pieces(shapes: Shapes) -> PieceBatch:
    c = shapes.config.flow
    tokens = 2 + PIECE_FRAMES // c.token_mel_ratio + c.lookahead

    def rows(*shape: int, dtype: Any = jnp.int32) -> Any:
        return shapes.array(shapes.pieces[0], *shape, dtype=dtype, rows=False)

    mel = rows(PIECE_FRAMES, c.mel_bands, dtype=jnp.float32)
    pages, fills = rows(PAST // c.chunk_frames), rows(PIECE_FRAMES // c.chunk_frames)
    return PieceBatch(
        tokens=rows(tokens), lengths=rows(), begin=rows(), prompt_mel=mel, noise=mel,
        speaker=rows(c.speaker_dim, dtype=jnp.float32), start=rows(), count=rows(), first=rows(), pages=pages,
        fills=fills, read=rows(), write=rows(), left=rows(),
    )  # fmt: skip


def _vocoder(shapes: Shapes) -> Iterator[Program]:
    c, params = shapes.config.vocoder, shapes.params("vocoder")
    pieces, _ = shapes.pieces
    for name, rows, frames, split in (
        ("vocoder", UTTERANCES, FRAMES, True),
        ("vocoder, pieces", pieces, WINDOW, False),  # as those of the flow: every device computes all of them
    ):
        array = partial(shapes.array, rows=split)
        noise = shapes.array(*([] if split else [rows]), frames * c.samples_per_frame, c.harmonics, rows=False)
        program = partial(
            decode.lower, params, array(rows, frames, c.mel_bands), array(rows, dtype=jnp.int32), array(rows, frames),
            array(rows, frames, c.harmonics), noise, array(rows, dtype=jnp.bool_), config=c,
        )  # fmt: skip
        work = counts.vocoder(c, rows, frames)
        yield Program(name, f"{rows} rows of {frames} frames", program, work, 4, FLOAT32_PASSES, not split)


def _encoders(shapes: Shapes) -> Iterator[Program]:
    """Of one recording; every device computes it."""
    config, length = shapes.config, shapes.array(1, dtype=jnp.int32, rows=False)
    features = shapes.array(1, RECORDING, config.speech_tokenizer.mel_bands, rows=False)
    tokens = partial(encode_speech.lower, shapes.params("speech_tokenizer"), config.speech_tokenizer, features, length)
    yield Program("speech tokenizer", f"{RECORDING} frames", tokens, copied=True)
    features = shapes.array(1, RECORDING, config.speaker_encoder.feature_bands, rows=False)
    speaker = partial(embed_speaker.lower, shapes.params("speaker_encoder"), config.speaker_encoder, features, length)
    yield Program("speaker encoder", f"{RECORDING} frames", speaker, copied=True)
