#!/usr/bin/env python3
"""An instance of a service: an HTTP server that says who it is.

    instance.py ID ADDRESS PORT
"""

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    # Head and body leave together: an instance that dies has sent a whole reply, or none.
    wbufsize = 65536

    def do_GET(self):
        who = {"instance": sys.argv[1], "pid": os.getpid(), "path": self.path}
        body = (json.dumps(who) + "\n").encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


if __name__ == "__main__":
    Server((sys.argv[2], int(sys.argv[3])), Handler).serve_forever()
