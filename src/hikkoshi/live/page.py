"""The live page: the report's own charts and traces, fed by a stream."""

from __future__ import annotations

from importlib import resources

import jinja2
from markupsafe import Markup

from hikkoshi.report.html import json_for_script, packaged, policy_for


def live_page(title: str, token: str) -> tuple[str, str]:
    """(page, Content-Security-Policy): its own script and style, and its own stream, alone."""
    here = resources.files("hikkoshi.live") / "page"
    css = packaged("report.css") + (here / "live.css").read_text("utf-8")
    js = packaged("charts.js") + packaged("traces.js") + (here / "live.js").read_text("utf-8")
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader(
            [
                jinja2.PackageLoader("hikkoshi.live", "page"),
                jinja2.PackageLoader("hikkoshi.report", "page"),
            ]
        ),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    page = environment.get_template("live.html.j2").render(
        title=title,
        css=Markup(css),
        js=Markup(js),
        settings=Markup(json_for_script({"token": token})),
    )
    return page, policy_for(css, js) + "; connect-src 'self'"
