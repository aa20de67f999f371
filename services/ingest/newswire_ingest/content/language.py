"""Language detection, for articles without a language."""

import threading
from functools import cache
from typing import Any

MIN_WORDS = 20
MAX_DETECTION_CHARS = 300
"""More characters hardly change the result, and publishing waits for the detection."""
MIN_CONFIDENCE = 0.9
_NO_LANGUAGE = frozenset(("zxx", "ext"))
_loading = threading.Lock()


def detect(text: str) -> str | None:
    """Return the BCP 47 tag of a text's language, or None if no language is likely enough."""
    language, confidence = _identifier().classify(text[:MAX_DETECTION_CHARS])
    return str(language) if confidence >= MIN_CONFIDENCE and language not in _NO_LANGUAGE else None


def load() -> None:
    """Load the model, which takes half a second, before a request needs it."""
    _identifier()


def _identifier() -> Any:
    with _loading:
        return _load()


@cache
def _load() -> Any:
    # It imports numpy, which would delay the start of the service.
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
