"""fluentd's parsers, filters and outputs in Fluent Bit's words; what has none is said.

A translation is a list of sections for the file that ECS includes into the router's configuration.
Records arrive from the container as FireLens makes them: the line under `log`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from hikkoshi.router.fluentd import Directive

PARSERS = "/fluent-bit/configs/parsers.conf"
"""In the router's image. Absolute: the file that ECS generates lies elsewhere."""

Entries = list[tuple[str, str]]

_RUBY_ENV = re.compile(r"^#\{ENV\[['\"](\w+)['\"]\]\}$")
_RUBY_HOST = re.compile(r"^#\{(?:Socket\.gethostname|hostname)\}$|^\$\{hostname\}$")
_RECORD = re.compile(r"^\$\{record\[['\"]([^'\"]+)['\"]\]\}$")
_SECRET = re.compile(r"⟨secret (\S+) (\w+)⟩")


@dataclass(slots=True)
class Router:
    """What becomes of the host's log pipeline. variables: NAME in the router's environment →
    whether it is secret. lost: what was not translated, with its place. changed: what was, but
    behaves otherwise."""

    sections: list[tuple[str, Entries]] = field(default_factory=list)
    parsers: list[Entries] = field(default_factory=list)
    variables: dict[str, bool] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)

    def add(self, kind: str, *entries: tuple[str, str]) -> None:
        self.sections.append((kind, list(entries)))

    def text(self, comment: str) -> str:
        lines = [f"# {line}" for line in comment.splitlines()]
        parsers = [("Parsers_File", PARSERS)] if self.parsers else []
        service = ("SERVICE", [("Flush", "1"), ("Grace", "30"), *parsers])
        return "\n".join(lines) + "\n" + _sections([service, *self.sections])

    def parsers_text(self) -> str:
        return _sections([("PARSER", entries) for entries in self.parsers])


def _sections(sections: list[tuple[str, Entries]]) -> str:
    out = []
    for kind, entries in sections:
        width = max((len(key) for key, _ in entries), default=0)
        lines = "".join(f"    {key:<{width}} {_flat(value)}\n" for key, value in entries)
        out.append(f"[{kind}]\n{lines}")
    return "\n".join(out)


def _flat(value: str) -> str:
    """One line: what a host wrote must not become another entry."""
    return " ".join(value.split("\n")).replace("\r", " ")


def translate_parse(router: Router, parse: Directive | None, match: str, name: str) -> None:
    """A source's `<parse>`: the container's line is under `log` and is parsed there."""
    kind = parse.type if parse else "none"
    if parse is None or kind == "none":
        return
    entries = parser_entries(router, parse, name)
    if entries is None:
        return
    router.parsers.append(entries)
    router.add(
        "FILTER", ("Name", "parser"), ("Match", match), ("Key_Name", "log"), ("Parser", name),
        ("Reserve_Data", "On"),
    )  # fmt: skip


def parser_entries(router: Router, parse: Directive, name: str) -> Entries | None:
    kind = parse.type
    entries: Entries = [("Name", name)]
    nginx = (
        r'^(?<remote>[^ ]*) (?<host>[^ ]*) (?<user>[^ ]*) \[(?<time>[^\]]*)\] "(?<method>\S+)'
        r'(?: +(?<path>[^\"]*?)(?: +\S*)?)?" (?<code>[^ ]*) (?<size>[^ ]*)'
        r'(?: "(?<referer>[^\"]*)" "(?<agent>[^\"]*)")?'
    )
    if kind == "json":
        entries.append(("Format", "json"))
    elif kind in ("ltsv", "logfmt"):
        entries.append(("Format", kind))
    elif kind in ("regexp", "/") or "expression" in parse.values:
        pattern = parse.values.get("expression", parse.values.get("format", ""))
        entries += [("Format", "regex"), ("Regex", slashless(pattern))]
    elif kind in ("nginx", "apache2"):
        entries += [("Format", "regex"), ("Regex", nginx)]
        entries += [("Time_Key", "time"), ("Time_Format", "%d/%b/%Y:%H:%M:%S %z")]
        return entries
    else:
        router.lost.append(f"{parse.where}: the parser {kind!r} has no counterpart: lines stay as "
                           "they are, under `log`")  # fmt: skip
        return None
    key = parse.values.get("time_key", "")
    form = parse.values.get("time_format", "")
    if parse.values.get("time_type") in ("float", "unixtime"):
        form = "%s.%L" if parse.values["time_type"] == "float" else "%s"
    if key or form:
        entries += [("Time_Key", key or "time")]
        if form:
            entries += [("Time_Format", re.sub(r"%(?:\d*)N", "%L", form))]
    if parse.values.get("keep_time_key", "false") == "true":
        entries.append(("Time_Keep", "On"))
    if parse.values.get("time_type") == "float" and kind == "json":
        router.changed.append(
            f"{parse.where}: the time is a JSON number: where Fluent Bit's version takes only text "
            "as time, the record has the time of its arrival (milliseconds later)"
        )
    types = parse.values.get("types", "")
    if types:
        entries.append(("Types", types.replace(",", " ")))
    return entries


def translate_filter(router: Router, directive: Directive, match: str, name: str) -> None:
    kind = directive.type
    if kind == "grep":
        _grep(router, directive, match)
    elif kind in ("record_transformer", "record_modifier"):
        _transform(router, directive, match)
    elif kind == "parser":
        parse = directive.one("parse") or directive
        entries = parser_entries(router, parse, name)
        if entries is not None:
            router.parsers.append(entries)
            key = directive.values.get("key_name", "log")
            reserve = directive.values.get("reserve_data", "false") == "true"
            router.add(
                "FILTER", ("Name", "parser"), ("Match", match), ("Key_Name", key),
                ("Parser", name), ("Reserve_Data", "On" if reserve else "Off"),
            )  # fmt: skip
    elif kind == "stdout":
        router.changed.append(f"{directive.where}: the stdout filter is left out: it only shows")
    elif kind == "throttle":
        values = directive.values
        limit = values.get("group_bucket_limit", "6000")
        period = values.get("group_bucket_period_s", "60")
        router.add("FILTER", ("Name", "throttle"), ("Match", match), ("Rate", limit),
                   ("Window", "1"), ("Interval", f"{period}s"))  # fmt: skip
    else:
        router.lost.append(f"{directive.where}: the filter {kind!r} has no counterpart")


def _grep(router: Router, directive: Directive, match: str) -> None:
    entries: Entries = [("Name", "grep"), ("Match", match)]
    blocks = directive.all("regexp", "exclude", "and", "or")
    for block in blocks:
        if block.kind in ("and", "or"):
            router.lost.append(f"{block.where}: grep's <{block.kind}> block was not translated")
            continue
        word = "Regex" if block.kind == "regexp" else "Exclude"
        entries.append((word, f"{accessor(block.values.get('key', ''))} "
                              f"{slashless(block.values.get('pattern', ''))}"))  # fmt: skip
    for key, value in directive.values.items():
        number = re.match(r"^(regexp|exclude)\d+$", key)
        if number:
            name, _, pattern = value.partition(" ")
            word = "Regex" if number[1] == "regexp" else "Exclude"
            entries.append((word, f"{accessor(name)} {slashless(pattern)}"))
    if len(entries) > 2:
        router.add("FILTER", *entries)


def _transform(router: Router, directive: Directive, match: str) -> None:
    entries: Entries = []
    record = directive.one("record")
    for key, value in (record.values if record else {}).items():
        copied = _RECORD.match(value)
        if copied:
            entries.append(("Copy", f"{copied[1]} {key}"))
            continue
        plain = variable(router, value, key, directive.where)
        if plain is None:
            router.lost.append(f"{directive.where}: {key} is computed ({value}): Fluent Bit needs "
                               "a Lua filter for it")  # fmt: skip
        else:
            entries.append(("Set", f"{key} {quoted(plain)}"))
    for key in (directive.values.get("remove_keys", "")).replace(" ", "").split(","):
        if key:
            entries.append(("Remove", accessor(key)))
    for key in ("renew_record", "keep_keys", "auto_typecast"):
        if directive.values.get(key, "false") not in ("false", ""):
            router.lost.append(f"{directive.where}: {key} was not translated")
    if entries:
        router.add("FILTER", ("Name", "modify"), ("Match", match), *entries)


def variable(router: Router, value: str, name: str, where: str) -> str | None:
    """A value in Fluent Bit's words: plain, `${NAME}`, or None where it is computed."""
    if match := _RUBY_ENV.match(value):
        router.variables.setdefault(match[1], True)
        return f"${{{match[1]}}}"
    if _RUBY_HOST.match(value):
        router.changed.append(
            f"{where}: {name} was the instance's host name; it is the task's now (ECS also adds "
            "ecs_task_arn)"
        )
        return "${HOSTNAME}"
    if match := _SECRET.search(value):
        shown = re.sub(r"\W", "_", name).upper()
        router.variables[shown] = True
        return f"${{{shown}}}"
    if "${" in value or "#{" in value:
        return None
    return value


def quoted(text: str) -> str:
    return f'"{text}"' if re.search(r"\s", text) else text


def slashless(pattern: str) -> str:
    """fluentd writes /PATTERN/; Fluent Bit takes it bare. Both are Onigmo's."""
    match = re.match(r"^/(.*)/([imx]*)$", pattern.strip(), re.DOTALL)
    if match is None:
        return pattern
    body = match[1].replace(r"\/", "/")
    return f"(?i){body}" if "i" in match[2] else body


def accessor(key: str) -> str:
    """`$.a.b` → `$a['b']`; a plain key stays."""
    if not key.startswith("$."):
        return key
    head, *rest = key[2:].split(".")
    return f"${head}" + "".join(f"['{part}']" for part in rest)


Output = Callable[[Router, Directive], Entries | None]


def _keys(table: dict[str, str], directive: Directive, router: Router) -> Entries:
    entries: Entries = []
    for key, value in directive.values.items():
        if table.get(key):
            plain = variable(router, value, key, directive.where)
            if plain is None:
                router.lost.append(f"{directive.where}: {key} is computed ({value})")
            else:
                entries.append((table[key], plain))
        elif key not in table and not key.startswith("@"):
            router.changed.append(f"{directive.where}: {key} {value} was left out")
    return entries


_BUFFERING = dict.fromkeys(
    ("flush_interval", "buffer_type", "buffer_path", "buffer_chunk_limit", "retry_limit",
     "num_threads", "max_retry_wait", "buffer_queue_limit", "disable_retry_limit"), "")  # fmt: skip


def _datadog(router: Router, directive: Directive) -> Entries:
    table = {
        "api_key": "apikey", "service": "dd_service", "dd_source": "dd_source",
        "source": "dd_source", "dd_tags": "dd_tags", "dd_sourcecategory": "", "host": "Host",
        "use_ssl": "", "ssl_port": "", "port": "", "use_http": "", "use_json": "",
        "include_tag_key": "include_tag_key", "tag_key": "tag_key", "use_compression": "",
        "dd_hostname": "dd_hostname", "http_proxy": "proxy", "compression_level": "",
        **_BUFFERING,
    }  # fmt: skip
    entries = _keys(table, directive, router)
    keys = {key for key, _ in entries}
    host = [] if "Host" in keys else [("Host", "http-intake.logs.datadoghq.com")]
    is_compressed = directive.values.get("use_compression", "true") == "true"
    packed = [("compress", "gzip")] if is_compressed else []
    return [("Name", "datadog"), *host, ("TLS", "on"), *entries, *packed, ("provider", "ecs")]


def _cloudwatch(router: Router, directive: Directive) -> Entries:
    table = {
        "log_group_name": "log_group_name", "log_stream_name": "", "region": "region",
        "auto_create_stream": "", "use_tag_as_group": "", "use_tag_as_stream": "",
        "message_keys": "log_key", "retention_in_days": "log_retention_days", **_BUFFERING,
    }  # fmt: skip
    entries = _keys(table, directive, router)
    return [
        ("Name", "cloudwatch_logs"), *entries, ("log_stream_prefix", "task-"),
        ("auto_create_group", "true"),
    ]  # fmt: skip


def _simple(name: str, table: dict[str, str], *more: tuple[str, str]) -> Output:
    def translate(router: Router, directive: Directive) -> Entries:
        return [("Name", name), *_keys({**table, **_BUFFERING}, directive, router), *more]

    return translate


def _forward(router: Router, directive: Directive) -> Entries | None:
    servers = directive.all("server")
    if not servers:
        router.lost.append(f"{directive.where}: forward names no server")
        return None
    if len(servers) > 1:
        router.lost.append(f"{directive.where}: forward has {len(servers)} servers; only the first "
                           "was translated (an Upstream file takes more)")  # fmt: skip
    values = servers[0].values
    entries: Entries = [("Name", "forward"), ("Host", values.get("host", "")),
                        ("Port", values.get("port", "24224"))]  # fmt: skip
    security = directive.one("security")
    if security and "shared_key" in security.values:
        value = variable(
            router, security.values["shared_key"], "FORWARD_SHARED_KEY", security.where
        )
        entries.append(("Shared_Key", value or "${FORWARD_SHARED_KEY}"))
    if directive.values.get("transport") == "tls":
        entries.append(("tls", "on"))
    return entries


def _http(router: Router, directive: Directive) -> Entries | None:
    endpoint = directive.values.get("endpoint", directive.values.get("endpoint_url", ""))
    match = re.match(r"^(https?)://([^/:]+)(?::(\d+))?(/\S*)?$", endpoint)
    if match is None:
        router.lost.append(f"{directive.where}: the http output's endpoint was not understood")
        return None
    is_tls = match[1] == "https"
    return [
        ("Name", "http"), ("Host", match[2]), ("Port", match[3] or ("443" if is_tls else "80")),
        ("URI", match[4] or "/"), ("Format", "json"), ("tls", "on" if is_tls else "off"),
    ]  # fmt: skip


_ES = {"host": "Host", "port": "Port", "index_name": "Index", "logstash_format": "Logstash_Format",
       "logstash_prefix": "Logstash_Prefix", "user": "HTTP_User", "password": "HTTP_Passwd",
       "include_tag_key": "Include_Tag_Key", "type_name": ""}  # fmt: skip
_STREAM = {"region": "region", "stream_name": "stream", "delivery_stream_name": "delivery_stream"}
OUTPUTS: dict[str, Output] = {
    "datadog": _datadog,
    "cloudwatch_logs": _cloudwatch,
    "cloudwatch": _cloudwatch,
    "forward": _forward,
    "http": _http,
    "elasticsearch": _simple("es", _ES, ("Suppress_Type_Name", "On")),
    "opensearch": _simple("opensearch", _ES, ("Suppress_Type_Name", "On")),
    "kinesis_firehose": _simple("kinesis_firehose", _STREAM),
    "kinesis_streams": _simple("kinesis_streams", _STREAM),
    "s3": _simple(
        "s3",
        {"s3_bucket": "bucket", "s3_region": "region", "path": "s3_key_format", "store_as": ""},
    ),
    "splunk_hec": _simple(
        "splunk",
        {
            "hec_host": "Host",
            "hec_port": "Port",
            "hec_token": "Splunk_Token",
            "index": "event_index",
        },
    ),
    "loki": _simple("loki", {"url": "Host", "username": "http_user", "password": "http_passwd"}),
    "newrelic": _simple(
        "nrlogs", {"license_key": "license_key", "api_key": "api_key", "base_uri": "base_uri"}
    ),
    "kafka2": _simple("kafka", {"brokers": "Brokers", "default_topic": "Topics"}),
    "stdout": _simple("stdout", {}),
    "null": _simple("null", {}),
}


def translate_output(router: Router, directive: Directive, match: str) -> bool:
    translate = OUTPUTS.get(directive.type)
    if translate is None:
        why = "a container's disk is lost with its task" if directive.type == "file" else \
              "it has no counterpart"  # fmt: skip
        router.lost.append(f"{directive.where}: the output {directive.type!r} was not translated: "
                           f"{why}")  # fmt: skip
        return False
    entries = translate(router, directive)
    if entries is None:
        return False
    name, *rest = entries
    router.add("OUTPUT", name, ("Match", match), *rest)
    return True
