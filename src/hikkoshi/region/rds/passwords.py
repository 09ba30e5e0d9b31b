"""Passwords: checked as RDS checks them, and turned at once into what PostgreSQL stores."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets

ITERATIONS = 4096
FORBIDDEN = frozenset('/@" ')


def password_fault(password: str) -> str | None:
    """RDS's message about a master password that it would refuse, or None."""
    if len(password) < 8:
        return (
            "The parameter MasterUserPassword is not a valid password because it is shorter "
            "than 8 characters."
        )
    if len(password) > 128:
        return (
            "The parameter MasterUserPassword is not a valid password because it is longer "
            "than 128 characters."
        )
    if any(not 32 < ord(letter) < 127 or letter in FORBIDDEN for letter in password):
        return (
            "The parameter MasterUserPassword is not a valid password. Only printable ASCII "
            "characters besides '/', '@', '\"', ' ' may be used."
        )
    return None


def scram_verifier(password: str, salt: bytes | None = None) -> str:
    """What PostgreSQL keeps of an ASCII password (SCRAM-SHA-256, RFC 5803): the password cannot
    be read from it, so it may go into a statement and its log."""
    salt = salt if salt is not None else secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, ITERATIONS)
    client = hmac.digest(salted, b"Client Key", "sha256")
    stored = hashlib.sha256(client).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    parts = [base64.b64encode(part).decode() for part in (salt, stored, server)]
    return f"SCRAM-SHA-256${ITERATIONS}:{parts[0]}${parts[1]}:{parts[2]}"
