"""An application to which its KME pushes key, written with the standard library alone: ETSI GS QKD 004 in push mode.

A network of two sites is started, with simulated photons. The bank at one site opens a stream by REST and gets its
chunks as POST requests; the branch at the other reads the same ones by TCP.
Run it: python examples/03_pushed_key_stream.py
"""

import base64
import http.client
import json
import queue
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import uuid
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from qanat.core.ids import SaeId
from qanat.sae.streams import KeyStream, StreamEnded

NETWORK = """
name = "pushed"
simulation = true
[[sites]]
id = "north"
latitude_deg = 52.50
longitude_deg = 13.40
[[sites]]
id = "south"
latitude_deg = 52.48
longitude_deg = 13.40
[[fibres]]
id = "duct"
between = ["north", "south"]
length_km = 5
attenuation_db_per_km = 0.2
[[links]]
id = "north-south"
from = "north"
to = "south"
fibre = "duct"
[[saes]]
id = "bank"
site = "north"
push_url = "https://127.0.0.1:{port}"
[[saes]]
id = "branch"
site = "south"
[[demands]]
between = ["bank", "branch"]
rate_bits_per_s = 1000
"""
CHUNKS = 5


class Endpoint(BaseHTTPRequestHandler):
    """Takes a chunk, says 201: the KME sends the next one only then."""

    protocol_version = "HTTP/1.1"
    came: "queue.Queue[dict]" = queue.Queue(8)  # when it is full the KME waits

    def do_POST(self) -> None:
        self.came.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        answer = b'{"status": 0}'
        self.send_response(201)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        pass


def tls(state: Path, sae: str, protocol: int) -> ssl.SSLContext:
    """Certificates at both ends, whoever calls whom."""
    context = ssl.SSLContext(protocol)
    context.load_cert_chain(state / "saes" / sae / "cert.pem", state / "saes" / sae / "key.pem")
    context.load_verify_locations(state / "ca" / "cert.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def call(line: http.client.HTTPSConnection, verb: str, name: str, body: dict) -> dict:
    line.request(verb, f"/api/v1/kms/etsi004/{name}", json.dumps(body), {"Content-Type": "application/json"})
    answer = line.getresponse()
    text = answer.read()
    print(f"{verb:4} {name:12} -> {answer.status}")
    if answer.status >= 400:
        raise SystemExit(text.decode())
    return json.loads(text) if text else {}


def stream_keys(state: Path, ports: dict, endpoint_port: int) -> None:
    server = HTTPServer(("127.0.0.1", endpoint_port), Endpoint)
    server.socket = tls(state, "bank", ssl.PROTOCOL_TLS_SERVER).wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    line = http.client.HTTPSConnection(
        "127.0.0.1", ports["push"]["north"], context=tls(state, "bank", ssl.PROTOCOL_TLS_CLIENT), timeout=20
    )
    qos = {"key_chunk_size": 32, "ttl": 600, "timeout": 10_000}  # get-key waits so long for the branch, in ms
    asked = {"source": "http://bank", "destination": "http://branch", "qos": qos}
    stream = call(line, "POST", "open-connect", asked)["key_stream_id"]
    files = {"certfile": state / "saes/branch/cert.pem", "keyfile": state / "saes/branch/key.pem"}
    branch = KeyStream(
        me=SaeId("branch"), peer=SaeId("bank"), stream=uuid.UUID(stream), host="127.0.0.1",
        port=ports["streams"]["south"], cafile=state / "ca/cert.pem", **files,
    )  # fmt: skip
    call(line, "GET", "get-key", {"key_stream_id": stream})
    for _ in range(CHUNKS):
        came = Endpoint.came.get(timeout=90)
        same = base64.b64decode(came["key_buffer"]) == chunk_of(branch, came["index"])
        print(f"chunk {came['index']} pushed to the bank, the same at the branch: {same}")
    call(line, "PUT", "close", {"key_stream_id": stream})


def chunk_of(stream: KeyStream, index: int) -> bytes:
    """The branch's chunk of an index; a short link makes its key in bursts, so it may have to wait."""
    for _ in range(20):
        with suppress(StreamEnded):
            return stream.chunk(index).bits.reveal()
    raise SystemExit(f"chunk {index} did not come")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def main() -> None:
    """Start the network, wait until it is up, read a stream, stop it."""
    with tempfile.TemporaryDirectory() as folder:
        state, file, port = Path(folder) / "state", Path(folder) / "pushed.toml", free_port()
        file.write_text(NETWORK.format(port=port))
        command = [sys.executable, "-m", "qanat", "up", str(file), "--state", str(state), "--json"]
        network = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            if not network.stdout.readline():  # it says so when all of it listens; the first start compiles
                raise SystemExit("the network did not start; `qanat up` on the same file says why")
            stream_keys(state, json.loads((state / "ports.json").read_text()), port)
        finally:
            network.terminate()
            network.wait(20)
    print("The bank asked once; every chunk after that came by itself.")


if __name__ == "__main__":
    main()
