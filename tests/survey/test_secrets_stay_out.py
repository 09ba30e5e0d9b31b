"""Secrets never reach the survey: by name, by format, in URLs, by entropy; wherever they stand."""

from __future__ import annotations

import json
import string

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hikkoshi.model.survey import Configuration, CronJob, Host, Process, System, Unit
from hikkoshi.survey.secrets import Redactor, is_secret_name, looks_random

FORMATS = (
    "AKIAIOSFODNN7EXAMPLE",
    "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
    "xoxb-123456789012-abcdefGHIJ",
    "sk_live_4eC39HqLyjWDarjtT1zdp7dc",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEow==\n-----END RSA PRIVATE KEY-----",
    "$2b$12$EixZaYVK1fsbw1ZfbX3OXePaWxn96p36WQoeG6Lruj3vjPGga31lW",
    "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "8f3c1d5a9b7e42608f3c1d5a9b7e4260",
)
NAMES = ("DB_PASSWORD", "api_key", "SECRET_KEY_BASE", "authToken", "PGPASSWORD", "dd.api-key",
         "client_secret", "AWS_SECRET_ACCESS_KEY", "requirepass")  # fmt: skip


def written(host: Host) -> str:
    redactor = Redactor()
    clean = redactor.value(host, "")
    return msgspec.json.encode(clean).decode() + msgspec.json.encode(redactor.secrets).decode()


def host_with(**parts: object) -> Host:
    return Host(System("h"), **parts)  # type: ignore[arg-type]


@pytest.mark.parametrize("secret", FORMATS)
def test_a_well_known_format_is_found_in_any_text(secret: str) -> None:
    for text in (secret, f"x {secret}", f"--flag={secret}", f'{{"a": "{secret}"}}'):
        clean = Redactor().text(text, "here")
        assert secret not in clean and "⟨secret" in clean


@pytest.mark.parametrize("name", NAMES)
def test_these_names_are_secret(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    ["PASSENGERS", "AUTHOR", "TOKENIZER_THREADS", "PATH", "SECRET_FILE", "monkey", "password_file",
     "AUTH_METHOD", "KEYBOARD", "compass", "ServerTokens", "server_tokens"],
)  # fmt: skip
def test_these_are_not(name: str) -> None:
    assert not is_secret_name(name)


@pytest.mark.parametrize(
    "text",
    ["/usr/lib/x86_64-linux-gnu/libcrypto.so.3", "genba.cluster-c9aeexample.ap-northeast-1",
     "3f2b7a52-6f0e-4f44-9d3b-0a1b2c3d4e5f", "prometheus-node-exporter-collectors",
     "multi-user.target.wants", "/opt/td-agent/bin/fluentd", "KillMode=process"],
)  # fmt: skip
def test_what_is_no_secret_stays(text: str) -> None:
    assert Redactor().text(text, "here") == text


@pytest.mark.parametrize(
    "line",
    ["env[DB_PASSWORD] = {}", "SetEnv DB_PASSWORD {}", "fastcgi_param DB_PASSWORD {};",
     'proxy_set_header X-Api-Key "{}";', "stats auth admin:{}", "PROXY_PASS={}", "proxy_pass={}",
     "  user bob insecure-password {} groups g", "RequestHeader set X-Token {}",
     "http-request set-header X-Token {} if x", "set $api_key {};",
     'environment=API_TOKEN="{}",MODE=prod', "proxy_pass http://u:{}@h/;"],
)  # fmt: skip
def test_as_web_servers_and_supervisors_write_them(line: str) -> None:
    clean = Redactor().text(line.format("hunter2-Zq9"), "here")
    assert "hunter2" not in clean and "⟨secret" in clean


@pytest.mark.parametrize(
    "line",
    ["ProxyPass http://localhost:8000/", "ProxyPassReverse http://localhost/", "ServerTokens OS",
     "proxy_pass http://app;", "fastcgi_pass unix:/x.sock;", "proxy_pass_header Authorization;",
     'auth_basic "Restricted";', "auth_request /auth;", 'AuthName "My site"',
     "proxy_set_header Authorization $http_authorization;", "cookie SRV insert indirect",
     "http-request set-header X-Auth-Token %[src]", "user haproxy", "AuthBasicProvider file",
     "SSLPassPhraseDialog exec:/usr/share/apache2/ask-for-passphrase"],
)  # fmt: skip
def test_what_web_servers_write_and_is_none(line: str) -> None:
    assert Redactor().text(line, "here") == line


# A password as people and generators make them; not one that is a word of the survey itself.
PASSWORDS = st.text(
    string.ascii_letters + string.digits + "!#%*+-.~^_", min_size=9, max_size=40
).map(lambda text: f"Zq9{text}x7")


@settings(max_examples=150, deadline=None)
@given(password=PASSWORDS, name=st.sampled_from(NAMES))
def test_a_password_never_reaches_the_file(password: str, name: str) -> None:
    found = written(
        host_with(
            units=(
                Unit("a.service", ("/a",), environment={name: password},
                     commands=(("/bin/a", "--password", password, f"--api-key={password}"),)),
                Unit("b.service", ("/b",), environment={
                    "URL": f"postgresql://u:{password}@db.internal:5432/x?sslmode=require"}),
            ),
            processes=(Process(1, 0, "a", ("a", "--token", password), 0),),
            cron=(CronJob("/etc/cron.d/a", "* * * * *", "root", f"X_PASSWORD={password} /bin/y"),),
            configurations=(
                Configuration("/etc/c.conf", "fluentd", f"<match>\n  api_key {password}\n</match>"),
                Configuration("/etc/d.json", "cloudwatch", json.dumps({"password": password})),
            ),
        )
    )  # fmt: skip
    assert password not in found
    assert password not in json.loads(json.dumps(found))


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=300))
def test_any_text_is_taken_and_taken_once(text: str) -> None:
    Redactor().text(text, "here", "DB_PASSWORD")
    clean = Redactor().text(text, "here")
    assert isinstance(clean, str)


def test_equal_secrets_have_equal_fingerprints_in_one_survey_only() -> None:
    one, two = Redactor(), Redactor()
    first, again = (
        one.text("s3cretvalue", "a", "password"),
        one.text("s3cretvalue", "b", "PASSWORD"),
    )
    assert first.split()[-1] == again.split()[-1]
    assert two.text("s3cretvalue", "a", "password").split()[-1] != first.split()[-1]


def test_the_host_cannot_write_a_mark_of_ours() -> None:
    clean = Redactor().text("⟨secret x AKIAIOSFODNN7EXAMPLE⟩", "here")
    assert "AKIAIOSFODNN7EXAMPLE" not in clean


def test_where_and_what_is_kept_without_the_secret() -> None:
    redactor = Redactor()
    redactor.value(
        host_with(units=(Unit("a.service", ("/a",), environment={"API_KEY": "abcd1234"}),)), ""
    )
    (secret,) = redactor.secrets
    assert (secret.name, secret.where, secret.kind) == ("API_KEY", "a.service", "by its name")


def test_random_or_not() -> None:
    assert looks_random("wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLE1")
    assert not looks_random("this-is-a-rather-long-unit-name-of-somebody")
