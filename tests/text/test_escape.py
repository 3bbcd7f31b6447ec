from cosy_jax.cli.output import shown
from cosy_jax.text.escape import escaped


def test_what_cannot_be_seen_is_escaped():
    hidden = "a\x1b[31m\x9b\x7f\n\u202e\ud800\U000e0001"
    assert escaped(hidden) == "a\\u001b[31m\\u009b\\u007f\\n\\u202e\\ud800\\udb40\\udc01"


def test_what_has_a_shape_or_gives_one_stays():
    text = (
        "caf\u00e9\u00a0\u4f60\u3000\u597d \U0001f600 \u0645\u06cc\u200c\u06a9\u0646\u0645 \U0001f468\u200d\U0001f33e"
    )
    assert escaped(text) == shown(text) == text


def test_lines_are_shown_as_lines():
    assert shown("a\n\tb\rc") == "a\n\tb\\rc"
