"""What MariaDB stores of a password."""

from __future__ import annotations

import hashlib


def native_verifier(password: str) -> str:
    """For the plugin mysql_native_password: SHA1 of SHA1, without salt, as MySQL's clients of the
    last twenty years all know it. The password cannot be read from it, though a weak one can be
    guessed, so it is kept where only the region's user reads."""
    inner = hashlib.sha1(password.encode(), usedforsecurity=False).digest()
    return "*" + hashlib.sha1(inner, usedforsecurity=False).hexdigest().upper()
