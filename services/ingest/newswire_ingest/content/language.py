"""Language detection, for articles without a language."""

import threading
from functools import cache
from typing import Any

MIN_WORDS = 20
MAX_DETECTION_CHARS = 300
"""More of them hardly change the answer, and each costs time that publishing waits for."""
MIN_CONFIDENCE = 0.9
_NO_LANGUAGE = frozenset(("zxx", "ext"))
_loading = threading.Lock()


def detect(text: str) -> str | None:
    """Return the BCP 47 tag of a text's language, or None where no language is likely enough."""
    language, confidence = _identifier().classify(text[:MAX_DETECTION_CHARS])
    return str(language) if confidence >= MIN_CONFIDENCE and language not in _NO_LANGUAGE else None


def load() -> None:
    """Read the model, half a second's work, before a request needs it."""
    _identifier()


def _identifier() -> Any:
    with _loading:
        return _load()


@cache
def _load() -> Any:
    # It brings numpy, which takes a moment that a service which starts does not have to wait for.
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
