"""Receives a webhook: checks the signature, and does what a message says exactly once.

WEBHOOK_SECRET=whsec_… python examples/webhook_receiver.py 8080 seen.sqlite
"""

import json
import os
import sqlite3
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

from standardwebhooks import Webhook, WebhookVerificationError

SECRET = Webhook(os.environ["WEBHOOK_SECRET"])
database = sqlite3.connect(sys.argv[2])
database.execute("CREATE TABLE IF NOT EXISTS seen (id TEXT PRIMARY KEY, subject TEXT)")


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        try:
            SECRET.verify(body, {name.lower(): value for name, value in self.headers.items()})
        except WebhookVerificationError:
            return self.answer(401)
        message = json.loads(body)
        change = message["data"].get("ticketChanged") or {}
        subject = (change.get("ticket") or {}).get("subject")
        with database:  # the effect and the id in one transaction: a message that comes again finds its id
            database.execute("INSERT OR IGNORE INTO seen VALUES (?, ?)", (self.headers["webhook-id"], subject))
        self.answer(204)  # only now: what is not acknowledged comes again

    def answer(self, status: int) -> None:
        self.send_response(status)
        self.end_headers()


HTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver).serve_forever()
