r"""Corpus: texts that tokenizers disagree on. Pure.

Contractions, digits, runs of newlines and blanks, other scripts, emoji that are several code
points, combining marks, and special tokens alone and glued to text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

TEXTS: Final = (
    "",
    " ",
    "  ",
    "   leading and trailing   ",
    "\n",
    "\n\n\n\nafter newlines\n\n",
    "\r\n windows \r\n\r\n lines\r",
    "\t\ttabs\tand  \t blanks \n\t x",
    "a\u00a0no-break\u00a0space\u2003em\u3000wide\u200bzero\ufeffmark\x85next",
    "I'm sure you've said we'll; he'd, they're, it's, don't, 'tis 'S 'LL I'M YOU'RE",
    "1 12 123 1234 12345678901234567890 3.14159 1,000,000 0x1F 1e-9 x2y3 2nd",
    "\u0661\u0662\u0663 \u00bd \u2167 \u2460 x\u00b2",
    (
        "def f(x):\n    if x == 0:\n        return [1, *x]  #"
        " comment\n\n\n    return {'a': b'\\x00'}\n"
    ),
    'for(int i=0;i<n;++i){a[i]+=b[i]<<2;}//end\n/* */ <?php ?> <a href="#">&amp;</a>',
    "camelCaseWord snake_case_word SCREAMING kebab-case __init__ ...!!!???---===>>>",
    "https://example.com/a?b=c&d=%20#e mail@example.com C:\\path\\file.txt $HOME/~",
    (
        "\u4f60\u597d\uff0c\u4e16\u754c\u3002\u3053\u3093\u306b\u3061\u306f"
        " \ud55c\uad6d\uc5b4 \u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35"
    ),
    (
        "\u041f\u0440\u0438\u0432\u0435\u0442 \u03b3\u03b5\u03b9\u03ac \u05e9\u05dc\u05d5\u05dd"
        " \u0645\u0631\u062d\u0628\u0627 \u0928\u092e\u0938\u094d\u0924\u0947"
    ),
    "\u00e9t\u00e9 e\u0301te\u0301 a\u0300\u0301\u0302 \u1e9b\u0323 \ufb01 \u00df \u0130\u0131",
    (
        "\U0001f600 \U0001f468\u200d\U0001f469\u200d\U0001f467"
        " \U0001f1ea\U0001f1fa \U0001f44d\U0001f3fd \u2764\ufe0f x\U0001f600y"
    ),
    "\x00\x01\x07\x1b[0m\x7f control",
    (
        "\u2018quoted\u2019 \u201cwords\u201d \u2013 \u2014 \u2026"
        " \u00bd \u20ac 5 \u00a3 \u2200x\u2208\u211d"
    ),
    "a" * 300,
    " ".join("word" for _ in range(100)),
    "=" * 70 + "\n" + "-" * 70 + "\n" + " " * 64 + "x",
)
"""Without special tokens. A NUL is in one of them: C must not end there."""


def texts(special_tokens: Iterable[str]) -> Iterator[str]:
    """Yield all texts, and those with each special token alone, glued, between blanks, twice."""
    yield from TEXTS
    for token in special_tokens:
        yield token
        yield f"before{token}after"
        yield f" {token} \n{token}\n"
        yield f"{token}{token}"
        yield token[:-1]
        yield f"don't{token}'s 12{token}34"
