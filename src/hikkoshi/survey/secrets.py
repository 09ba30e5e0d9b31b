"""Finding what looks secret, and leaving it out: by name, by well-known format, by entropy.

A secret is replaced where it stands by `⟨secret NAME FINGERPRINT⟩`. The fingerprint is an HMAC with
a key that is made for one survey and thrown away: it tells equal secrets from different ones inside
the survey, and nothing about the secret to somebody who has the file and guesses.
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
import math
import re
import secrets as random
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

from hikkoshi.model.survey import Secret

# A name is secret if one of its parts is such a word: DB_PASSWORD and dbPassword, not PASSENGERS.
_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_WORDS = frozenset(
    {"pass", "password", "passwd", "passphrase", "passcode", "pwd", "secret", "token", "apikey",
     "credential", "auth", "authkey", "authorization", "authentication", "signing", "salt",
     "webhook", "cookie", "requirepass", "masterauth", "psk", "dsn"}
)  # fmt: skip
_PAIRS = frozenset(
    (first, last)
    for first, lasts in {
        "api": "key", "access": "key", "private": "key", "license": "key", "secret": "key",
        "session": "key", "app": "key", "master": "key", "shared": "key", "hmac": "key",
        "aes": "key", "jwt": "key", "auth": "key", "encryption": "key", "signing": "key",
        "account": "key", "storage": "key", "subscription": "key", "service": "key",
        "connection": "string",
    }.items()
    for last in lasts.split()
)  # fmt: skip
_ENDS = ("password", "passwd", "passphrase", "apikey", "secret", "token", "secretkey", "accesskey")
_NOT_A_SECRET_NAME = re.compile(
    r"(?i)(?:^|[_.-])(?:author|authors|server[_.-]?tokens|"
    r"auth[_.-]?(?:basic|request|basicprovider|realm)|token[_.-]?(?:url|type|ttl|endpoint)|"
    r"pass(?:word)?[_.-]?(?:file|length|policy)|"
    r"(?:secret|token|key|credentials?|auth|password)[_.-]?(?:file|path|dir|name|arn|id|type|"
    r"method|mode|url|host|endpoint|ttl|expiry|timeout|enabled|required))$"
)
_NOT_A_SECRET_VALUE = re.compile(
    r"(?i)^(?:|true|false|yes|no|on|off|none|null|default|required|optional|enabled|disabled|"
    r"\d{1,3}|/[\w./+@%-]*|\$\{?\w+\}?|%[a-zA-Z]|%\[.*|\"?#\{ENV\[.*|<%=.*|arn:aws[\w-]*:.*|"
    r"\{\{.*\}\}|\*+|x+)$"
)

FORMATS: tuple[tuple[str, re.Pattern[str]], ...] = (
    (
        "private key",
        re.compile(
            r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"
            r"[\s\S]*?(?:-----END (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----|\Z)"
        ),
    ),
    ("AWS access key", re.compile(r"\b(?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{16}\b")),
    ("GitHub token", re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_\w{40,})")),
    ("GitLab token", re.compile(r"\bglpat-[\w-]{20,}")),
    ("Slack token", re.compile(r"\bxox[abeoprs]-[\w-]{10,}")),
    ("Slack webhook", re.compile(r"(?<=hooks\.slack\.com/)(?:services|workflows)/[\w/-]+")),
    ("Stripe key", re.compile(r"\b[srp]k_(?:live|test)_[A-Za-z0-9]{10,}|\bwhsec_[\w+/=]{16,}")),
    ("Google API key", re.compile(r"\bAIza[\w-]{35}")),
    ("JSON web token", re.compile(r"\beyJ[\w-]{8,}\.[\w-]{4,}(?:\.[\w-]*)?")),
    ("SendGrid key", re.compile(r"\bSG\.[\w-]{16,}\.[\w-]{16,}")),
    ("npm token", re.compile(r"\bnpm_[A-Za-z0-9]{30,}")),
    ("PyPI token", re.compile(r"\bpypi-[\w-]{30,}")),
    ("OpenAI-style key", re.compile(r"\bsk-[\w-]{20,}")),
    ("Twilio key", re.compile(r"\b(?:SK|AC)[0-9a-f]{32}\b")),
    ("password hash", re.compile(r"\$(?:1|2[aby]|5|6|y|argon2\w*|apr1)\$[\w./$=,+-]{8,}")),
)
# user:password@ of a URL or DSN. The password runs to the last @ before the host ends.
_URL = re.compile(r"(?P<head>\b[A-Za-z][\w+.-]*://[^\s:/@\"'<>]*:)(?P<value>[^\s\"'<>]+)(?=@)")
_BARE_DSN = re.compile(r"(?P<head>\b[\w.-]+:)(?P<value>[^\s:@/\"']+)(?=@(?:tcp|unix|\()\(?)")
_ASSIGNED = re.compile(
    r"(?P<key>[\"']?(?P<name>[A-Za-z_][\w.-]*)[\"']?\]?)"
    r"(?P<sep>\s*(?:=>|:=|=|:)\s*|[ \t]+)"
    r"(?P<value>\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'|(?:Bearer|Basic|Token)[ \t]+[^\s\"',;&]+"
    r"|[^\s\"',;&)}\]]+)"
)
# Directives of nginx, Apache and HAProxy that set something by its name, which comes behind them.
_SETTER = re.compile(
    r"(?i)^\s*(?:SetEnv|presetenv|(?:fastcgi|uwsgi|scgi)_param|(?:proxy|fastcgi|grpc)_set_header|"
    r"add_header|set\s+\$|(?:Request)?Header\s+(?:always\s+)?(?:set|add|append|merge)|"
    r"http-(?:request|response)\s+(?:set|add)-header|user\s+\S+)\s*$"
)
# Directives of theirs that hand requests on. As they write them: PROXY_PASS=… is a password.
_HANDS_ON = re.compile(
    r"^(?:(?:proxy|fastcgi|uwsgi|scgi|grpc|memcached)_pass(?:_header)?|SSLPassPhraseDialog|"
    r"ProxyPass(?:Match|Reverse\w*|Inherit|InterpolateEnv)?)$"
)
_USER_AND_PASSWORD = re.compile(r"^\s*stats\s+auth\s+[^\s:]+:(?P<value>\S+)", re.MULTILINE)
_BARE = re.compile(r"(?<![\w+/@.-])[\w+/-]{20,}={0,2}(?![\w+/=-])")
_UUID = re.compile(r"^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$", re.IGNORECASE)

_PLAIN = frozenset({"kind", "method", "form", "type", "protocol"})
"""Fields of the survey whose values are words of ours."""


@dataclass(frozen=True, slots=True)
class _Found:
    start: int
    end: int
    name: str
    kind: str


def is_secret_name(name: str) -> bool:
    if _NOT_A_SECRET_NAME.search(name):
        return False
    parts = [part.lower() for part in _PARTS.findall(name)]
    return any(
        part in _WORDS or part.rstrip("s") in _WORDS or part.endswith(_ENDS) for part in parts
    ) or any(pair in _PAIRS for pair in itertools.pairwise(parts))


def entropy(text: str) -> float:
    """Bits a character."""
    total = len(text)
    return -sum(n / total * math.log2(n / total) for n in Counter(text).values()) if total else 0.0


def looks_random(token: str) -> bool:
    """Long, and of more kinds of characters than words are. UUIDs and paths are not."""
    if len(token) < 20 or _UUID.match(token) or token.count("/") > 1 + len(token) // 16:
        return False
    bare = token.rstrip("=")
    if re.fullmatch(r"[0-9a-fA-F]+", bare):
        return len(bare) >= 32 and entropy(bare) > 3.0
    digits = sum(c.isdigit() for c in bare)
    has_both = any(c.islower() for c in bare) and any(c.isupper() for c in bare)
    if (
        len(token) == 40
        and has_both
        and digits
        and re.fullmatch(r"[A-Za-z0-9+][A-Za-z0-9/+]+", token)
    ):
        return True  # As AWS's secret access keys are.
    words = max((len(part) for part in re.split(r"[-_/+]", bare)), default=0)
    if has_both and digits >= 2:
        return entropy(bare) > 3.6 and words >= 12
    return len(bare) >= 32 and digits * 6 >= len(bare) and words >= 24 and entropy(bare) > 3.5


class Redactor:
    """Replaces secrets and remembers which there were. One a survey, its key is never stored."""

    def __init__(self, key: bytes | None = None) -> None:
        self._key = key or random.token_bytes(32)
        self._found: dict[tuple[str, str, str], Secret] = {}

    @property
    def secrets(self) -> tuple[Secret, ...]:
        return tuple(sorted(self._found.values(), key=lambda s: (s.where, s.name, s.fingerprint)))

    def text(self, text: str, where: str, name: str = "") -> str:
        """The text without what looks secret. name: of the variable or key that it stands under."""
        # The marks are ours: the host must not write one.
        text = text.replace("⟨", "<").replace("⟩", ">")
        if name and is_secret_name(name) and not _NOT_A_SECRET_VALUE.match(text.strip()):
            if "://" in text and _URL.search(text):
                return self._cut(text, where, name)
            return self._mark(text, where, name, "by its name")
        return self._cut(text, where, name)

    def value(self, value: Any, where: str, name: str = "") -> Any:
        """The same for mappings, lists and dataclasses, whole."""
        if isinstance(value, str):
            return value if name in _PLAIN else self.text(value, where, name)
        if isinstance(value, Mapping):
            named = _named_pair(value)
            return {
                self.text(str(key), where): self.value(
                    item, where, named if named and str(key).lower() == "value" else str(key)
                )
                for key, item in value.items()
            }
        if isinstance(value, tuple) and value and all(isinstance(item, str) for item in value):
            return self._words(value, where, name)
        if isinstance(value, (list, tuple)):
            return type(value)(self.value(item, where, name) for item in value)
        if is_dataclass(value) and not isinstance(value, type):
            place = where or getattr(value, "path", "") or str(getattr(value, "name", ""))
            return replace(
                value,
                **{
                    f.name: self.value(getattr(value, f.name), place, f.name) for f in fields(value)
                },
            )
        return value

    def _words(self, words: tuple[str, ...], where: str, name: str) -> tuple[str, ...]:
        """Of a command line: `--password VALUE` and `-pVALUE` have the name in another word."""
        out: list[str] = []
        previous = ""
        for word in words:
            flag = previous.lstrip("-") if previous.startswith("-") and "=" not in previous else ""
            is_value = flag and not word.startswith("--")
            out.append(self.text(word, where, flag if is_value else name))
            previous = word
        return tuple(out)

    def _cut(self, text: str, where: str, name: str) -> str:
        spans = sorted(_find(text, name), key=lambda f: (f.start, -f.end))
        out, end = [], 0
        for found in spans:
            if found.end <= end:
                continue
            start = max(found.start, end)
            out += [text[end:start]]
            out += [self._mark(text[start : found.end], where, found.name, found.kind)]
            end = found.end
        return "".join([*out, text[end:]])

    def _mark(self, secret: str, where: str, name: str, kind: str) -> str:
        print_ = hmac.new(self._key, secret.strip("\"'").encode("utf-8", "replace"), hashlib.sha256)
        fingerprint = print_.hexdigest()[:12]
        label = re.sub(r"[^\w.-]", "_", name)[:60] or kind.replace(" ", "-")
        if looks_random(label):
            label = kind.replace(" ", "-")
        entry = Secret(label, where, kind, fingerprint)
        self._found.setdefault((where, label, fingerprint), entry)
        return f"⟨secret {label} {fingerprint}⟩"


def _named_pair(value: Mapping[Any, Any]) -> str:
    """AWS writes `{name: DB_PASSWORD, value: …}` and `{Key: …, Value: …}`."""
    for key in ("name", "Name", "Key", "key", "ParameterName", "ParameterKey"):
        if isinstance(value.get(key), str):
            return str(value[key])
    return ""


def _find(text: str, name: str) -> Iterator[_Found]:
    for kind, pattern in FORMATS:
        for match in pattern.finditer(text):
            yield _Found(match.start(), match.end(), name, kind)
    for pattern in (_URL, _BARE_DSN):
        for match in pattern.finditer(text):
            yield _Found(*match.span("value"), name, "password in a URL")
    for match in _USER_AND_PASSWORD.finditer(text):
        yield _Found(*match.span("value"), "stats auth", "by its name")
    position = 0
    while (pair := _ASSIGNED.search(text, position)) is not None:
        # The value may itself be a name with a value behind it: go on from there.
        position = pair.end("key")
        value = pair.group("value")
        bare = value.strip("\"'")
        is_word_pair = not pair.group("sep").strip()
        if not is_secret_name(pair.group("name")) or _NOT_A_SECRET_VALUE.match(bare):
            continue
        is_handed_on = is_word_pair and _HANDS_ON.match(pair.group("name"))
        if is_handed_on or (is_word_pair and not _is_config_pair(text, pair)):
            continue
        start, end = pair.span("value")
        quoted = len(value) >= 2 and value[0] in "\"'" and value[-1] == value[0]
        yield _Found(start + quoted, end - quoted, pair.group("name"), "by its name")
    for match in _BARE.finditer(text):
        if looks_random(match.group()):
            yield _Found(match.start(), match.end(), name, "by its entropy")


def _is_config_pair(text: str, match: re.Match[str]) -> bool:
    """`password s3cret` on a line of its own, or `--password s3cret`; not "the secret is out"."""
    before = text[text.rfind("\n", 0, match.start()) + 1 : match.start()]
    after = text[match.end() :].split("\n", 1)[0].strip()
    if _SETTER.match(before):
        return True
    return before.endswith("-") or (not before.strip() and after in ("", ";"))
