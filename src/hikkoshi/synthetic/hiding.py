"""Keeps secrets out of what is shown."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote, quote_plus

HIDDEN = "•••"
# Of a text that was cut, so much of a secret's beginning may stay.
_SHORTEST = 3


class Hiding:
    """Grows by each secret that is learnt."""

    def __init__(self) -> None:
        self._forms: set[str] = set()

    def add(self, secret: str) -> None:
        """A secret, as it is and as addresses, JSON and basic authentication write it."""
        if not secret:
            return
        as_json = json.dumps(secret, ensure_ascii=False)[1:-1]
        self._forms |= {secret, quote(secret, safe=""), quote_plus(secret), as_json}
        if len(secret) > _SHORTEST:
            self._forms.add(base64.b64encode(secret.encode()).decode().rstrip("="))

    def hide(self, text: str) -> str:
        for form in sorted(self._forms, key=len, reverse=True):
            text = text.replace(form, HIDDEN)
            for size in range(len(form) - 1, _SHORTEST, -1):
                text = text.replace(form[:size] + "…", HIDDEN + "…")
        return text
