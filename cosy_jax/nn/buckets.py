"""The few lengths that arrays are padded to, so that the number of compiled programs stays small.

Neighbours differ by a quarter at most from 100 on, which bounds the work that padding adds.
"""

import bisect
from collections.abc import Sequence

from cosy_jax.errors import CosyError

LM_CONTEXT = (64, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048)  # ids: text, prompt text, prompt speech
LM_NEW = (128, 256, 512, 1024, 2048, 4096)  # speech ids
LM_SLOTS = (256, 512, 1024, 2048, 4096, 8192)  # positions of all rows that are decoded together
SPEECH_TOKENS = (
    *(25, 50, 75, 100, 125, 150, 175, 200, 250, 300, 350, 400, 500, 600, 750, 875, 1000, 1250, 1500, 1875, 2250),
    *(2750, 3375, 4125, 5000, 6125, 7500),  # 7500: 300 s, the end of the reference's noise
)
# Mel frames of one piece of a stream, and rows of pieces that are solved together.
STREAM_FRAMES = (50, 100, 200)
STREAM_ROWS = (1, 2, 4, 8, 16)
# Mel frames that the vocoder sees at once: a piece and the tail in front of it.
STREAM_WINDOW = (50, 100, 150, 250, 350, 500, 750, 1000, 1500, 2500)
# Text and turns of speech that a row is given while its text arrives.
LM_APPENDED = (8, 32, *LM_CONTEXT)
# Positions of a row whose text arrives: its length is not known, so its cache starts at the smallest of these that
# holds the context and is copied into the next one when full. A program more of each kind is compiled for each size.
LM_ARRIVING = (512, 1024, 2048, 4096, 8192)
# Frames of 10 ms whose multiples a recording is padded to. The speech tokenizer costs ten times what the speaker
# encoder does and compiles in half the time: 12 programs for the one, 6 for the other.
TOKENIZER_FRAMES, SPEAKER_FRAMES = 250, 500
# Past frames that a piece may look back on.
STREAM_PAST = (250, 500, 750, 1000, 2000, 4000, 8000, 15000)


def bucket(length: int, table: Sequence[int], what: str) -> int:
    """The smallest entry of `table` that holds `length`; CosyError where none does, naming `what`."""
    index = bisect.bisect_left(table, length)
    if index == len(table):
        raise CosyError(f"{what} is {length} long, more than the {table[-1]} supported: split the text.")
    return table[index]


def up_to(length: int, table: Sequence[int], what: str) -> Sequence[int]:
    """The entries of `table` that lengths of at most `length` are padded to; CosyError as `bucket`."""
    return table[: table.index(bucket(length, table, what)) + 1]
