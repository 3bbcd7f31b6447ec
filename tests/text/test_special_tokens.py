import hashlib
import unicodedata

from cosy_jax.text.special_tokens import CONTROL_TOKENS, EXTRA_TOKENS, phoneme_tokens, pinyin_tokens

# SHA-256 of the reference's list (CosyVoice3Tokenizer, additional_special_tokens), its entries joined by line feeds.
REFERENCE_DIGEST = "4d5267643001673d742c7033834779c1e24f936caaf7a9ce850807222ee94b91"


def test_list_and_order_are_the_references():
    assert hashlib.sha256("\n".join(EXTRA_TOKENS).encode()).hexdigest() == REFERENCE_DIGEST


def test_counts():
    assert (len(CONTROL_TOKENS), len(phoneme_tokens()), len(pinyin_tokens())) == (20, 84, 176)
    assert len(set(EXTRA_TOKENS)) == 280


def test_only_vowels_carry_stress():
    assert {"[AA]", "[AA0]", "[UW2]", "[ZH]"} <= set(phoneme_tokens())
    assert "[B0]" not in phoneme_tokens()


def test_pinyin_is_composed_unicode():
    assert all(unicodedata.is_normalized("NFC", token) for token in pinyin_tokens())
