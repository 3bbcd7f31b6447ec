"""The interface's description as a page that needs nothing from outside."""

import json
from html import escape
from typing import Any

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}"
    "code,pre{font:14px/1.5 ui-monospace,monospace}details{border-top:1px solid #8886;padding:.5rem 0}"
    "summary{cursor:pointer}b{display:inline-block;min-width:4.5rem}pre{overflow:auto}"
)


def docs_page(description: dict[str, Any]) -> str:
    """HTML of an OpenAPI description: every route, what it takes and answers."""
    routes = "".join(
        _route(method, path, entry, description)
        for path, methods in description["paths"].items()
        for method, entry in methods.items()
    )
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(description['info']['title'])}</title>"
        f"<meta name=viewport content='width=device-width'><style>{_STYLE}</style>"
        f"<h1>{escape(description['info']['title'])}</h1><p><a href=/openapi.json>openapi.json</a></p>{routes}</html>"
    )


def _route(method: str, path: str, entry: dict[str, Any], description: dict[str, Any]) -> str:
    body = entry.get("requestBody", {}).get("content", {})
    parts = "".join(f"<p>{escape(kind)}</p>{_schema(part['schema'], description)}" for kind, part in body.items())
    inputs = "".join(f"<li><code>{escape(each['name'])}</code> in {each['in']}" for each in entry.get("parameters", []))
    answers = ", ".join(entry.get("responses", {}))
    return (
        f"<details><summary><b>{method.upper()}</b><code>{escape(path)}</code> {escape(entry.get('summary', ''))}"
        f"</summary><ul>{inputs}</ul>{parts}<p>Answers: {escape(answers)}</p></details>"
    )


def _schema(schema: dict[str, Any], description: dict[str, Any]) -> str:
    name = schema.get("$ref", "").rpartition("/")[2]
    found = description["components"]["schemas"].get(name, schema)
    return f"<pre>{escape(json.dumps(found, indent=2))}</pre>"
