"""The 280 extra text tokens of CosyVoice 3, in the order that fixes their ids.

Source: cosyvoice/tokenizer/tokenizer.py, CosyVoice3Tokenizer: 20 control tokens, 84 CMU phonemes and 176 pinyin
parts. `<|im_start|>` and `<|im_end|>` exist in Qwen2's vocabulary already, so 278 ids are new.
"""

END_OF_PROMPT = "<|endofprompt|>"

CONTROL_TOKENS: tuple[str, ...] = (
    *("<|im_start|>", "<|im_end|>", END_OF_PROMPT),
    *("[breath]", "<strong>", "</strong>", "[noise]", "[laughter]", "[cough]", "[clucking]", "[accent]"),
    *("[quick_breath]", "<laughter>", "</laughter>", "[hissing]", "[sigh]", "[vocalized-noise]", "[lipsmack]"),
    *("[mn]", "<|endofsystem|>"),
)

_ARPABET = "AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH UH UW V W Y Z ZH"

_PINYIN = """
a ai an ang ao b c ch d e ei en eng f g h i ian in ing iu ià iàn iàng iào iá ián iáng iáo iè ié iòng ióng iù iú
iā iān iāng iāo iē iě iōng iū iǎ iǎn iǎng iǎo iǒng iǔ j k l m n o ong ou p q r s sh t u uang ue un uo
uà uài uàn uàng uá uái uán uáng uè ué uì uí uò uó uā uāi uān uāng uē uě uī uō uǎ uǎi uǎn uǎng uǐ uǒ vè w x y z zh
à ài àn àng ào á ái án áng áo è èi èn èng èr é éi én éng ér ì ìn ìng í ín íng ò òng òu ó óng óu ù ùn ú ún
ā āi ān āng āo ē ēi ēn ēng ě ěi ěn ěng ěr ī īn īng ō ōng ōu ū ūn ǎ ǎi ǎn ǎng ǎo ǐ ǐn ǐng ǒ ǒng ǒu ǔ ǔn ǘ ǚ ǜ
"""


def phoneme_tokens() -> tuple[str, ...]:
    """CMU phonemes in brackets: vowels plain and with stress 0, 1, 2 (`[AA] [AA0] ...`), consonants plain."""
    stresses = {True: ("", "0", "1", "2"), False: ("",)}
    return tuple(f"[{stem}{stress}]" for stem in _ARPABET.split() for stress in stresses[stem[0] in "AEIOU"])


def pinyin_tokens() -> tuple[str, ...]:
    """Pinyin initials and toned finals in brackets (`[j]`, `[ǐ]`), in code point order."""
    return tuple(f"[{part}]" for part in _PINYIN.split())


EXTRA_TOKENS: tuple[str, ...] = (*CONTROL_TOKENS, *phoneme_tokens(), *pinyin_tokens())
