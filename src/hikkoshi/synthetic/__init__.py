"""Synthetic tests: expected requests with expected answers, from a file of YAML.

    tests:
      - name: create, approve, read back
        timeout: 10s                       # for each request
        retry: {count: 2, interval: 500ms} # of the whole test; right on a retry is "degraded"
        steps:                             # or, for one request, its keys beside `name`
          - request: POST /reports
            headers: {Authorization: 'Bearer {{env.TOKEN}}'}
            body: {title: Ladder}          # a mapping or list is sent as JSON, a text as it is
            expect:
              status: 201                  # or [200, 201], or 2xx; without it, below 400
              time: 500ms                  # slower fails
              slow: 200ms                  # slower is "degraded"
              header: {content-type: application/json}
              json:
                $.status: open             # equal
                $.id: exists               # or: does not exist
                $.items.length(): {at least: 1}
              body: {contains: Ladder}     # a text alone means contains
            capture: {report: $.id, place: header Location}
          - request: GET /reports/{{report}}

A step may also be `tcp: host:port` (expect connection), `tls: host:port` (expect days left, tls
version) or `dns: name` (expect records). Also: follow: true (redirects), insecure: true, every: 60s
and alert after: 2m (for `watch`), tags, skip: why; expect.schema (a JSON Schema or a file's name),
expect.xpath; and `- datadog: {…}`, a test of Datadog's kept whole.

Operators: equals, not, exists, matches (a regular expression), contains, less than, at most,
more than, at least, one of; several in one mapping must all hold. Paths: JSONPath (RFC 9535), and
a last `.length()`; of a path to several values every one must meet the condition, and there must
be one.
A content type without `;` is compared without parameters. A value that is one {{name}} alone keeps
its type; inside a path it is percent-encoded. In YAML's { } a path with [ ] needs quotes.
"""

from hikkoshi.synthetic.definition import SyntheticTest
from hikkoshi.synthetic.reading import load_tests, parse_tests
from hikkoshi.synthetic.run import State, SyntheticResult, run

__all__ = ["State", "SyntheticResult", "SyntheticTest", "load_tests", "parse_tests", "run"]
