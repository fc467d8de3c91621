"""Makes the dashboard and the alert rules in `deploy/` of their one definition. `make dashboard` runs it."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.helpers.paths import ROOT

DEPLOY = ROOT / "deploy"
WIDTH, HEIGHT, COLUMNS = 8, 8, 24  # of a panel and of the page, in Grafana's units


def definition() -> dict[str, Any]:
    return tomllib.loads((DEPLOY / "monitoring.toml").read_text())


def files() -> dict[Path, str]:
    """The contents of the files by their paths."""
    defined = definition()
    return {
        DEPLOY / "grafana-dashboard.json": json.dumps(_dashboard(defined["row"]), indent=2, ensure_ascii=False) + "\n",
        DEPLOY / "alerts.yaml": "\n".join(_rules(defined["alert"])) + "\n",
    }


def expressions() -> Iterator[str]:
    """All queries of panels and alerts."""
    defined = definition()
    for row in defined["row"]:
        for panel in row["panel"]:
            yield from panel["queries"].values()
    yield from (alert["expr"] for alert in defined["alert"])


def _dashboard(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "title": "Callout",
        "uid": "callout",
        "tags": ["callout"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {
            "list": [{"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}]
        },
        "panels": list(_panels(rows)),
    }


def _panels(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    number = y = 0
    for row in rows:
        number += 1
        place = {"x": 0, "y": y, "w": COLUMNS, "h": 1}
        yield {"id": number, "type": "row", "title": row["title"], "collapsed": False, "panels": [], "gridPos": place}
        y += 1
        for index, panel in enumerate(row["panel"]):
            number += 1
            down, right = divmod(index * WIDTH, COLUMNS)
            yield _panel(number, panel, {"x": right, "y": y + down * HEIGHT, "w": WIDTH, "h": HEIGHT})
        y += -(-len(row["panel"]) * WIDTH // COLUMNS) * HEIGHT


def _panel(number: int, panel: dict[str, Any], place: dict[str, int]) -> dict[str, Any]:
    source = {"type": "prometheus", "uid": "${datasource}"}
    targets = [
        {"refId": chr(ord("A") + index), "datasource": source, "expr": query, "legendFormat": legend}
        for index, (legend, query) in enumerate(panel["queries"].items())
    ]
    return {
        "id": number,
        "type": "timeseries",
        "title": panel["title"],
        "datasource": source,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel["unit"], "min": 0}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": targets,
    }


def _rules(alerts: list[dict[str, Any]]) -> Iterator[str]:
    """Lines of YAML. A text of JSON is one of YAML."""
    yield "# Made by `make dashboard` of monitoring.toml."
    yield "groups:"
    yield "  - name: callout"
    yield "    rules:"
    for alert in alerts:
        yield f"      - alert: {alert['name']}"
        yield f"        expr: {json.dumps(alert['expr'])}"
        yield f"        for: {alert['for']}"
        yield f"        labels: {{severity: {alert['severity']}}}"
        yield f"        annotations: {{summary: {json.dumps(alert['summary'])}}}"


if __name__ == "__main__":
    for path, text in files().items():
        path.write_text(text)
        print(path.relative_to(ROOT))
