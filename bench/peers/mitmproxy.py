"""An egress allowlist for mitmproxy 8 or later: hosts of requests, and names in the ClientHello.

`egress_names` is a file with a name a line, `.x` for what is below x. With `egress_tls=passthrough` TLS is passed on
once its name was looked at, else it is ended here and each request inside is looked at.
"""

from mitmproxy import ctx, http


class Egress:
    def __init__(self):
        self.names = set()
        self.below = ()

    def load(self, loader):
        loader.add_option("egress_names", str, "", "file of names")
        loader.add_option("egress_tls", str, "inspect", "inspect or passthrough")

    def configure(self, updated):
        if "egress_names" in updated and ctx.options.egress_names:
            with open(ctx.options.egress_names) as file:
                lines = file.read().split()
            self.names = {line for line in lines if not line.startswith(".")}
            self.below = tuple(line for line in lines if line.startswith("."))

    def allows(self, name):
        name = (name or "").lower()
        return name in self.names or (bool(self.below) and name.endswith(self.below))

    def check(self, flow):
        if not self.allows(flow.request.host):
            flow.response = http.Response.make(403, b"not allowed\n")

    def http_connect(self, flow):
        self.check(flow)

    def requestheaders(self, flow):
        self.check(flow)

    def server_connect(self, data):
        if not self.allows(data.server.address[0]):
            data.server.error = "not allowed"

    def tls_clienthello(self, data):
        if ctx.options.egress_tls == "passthrough":
            data.ignore_connection = self.allows(data.client_hello.sni)

    def tls_start_client(self, data):
        # Without a TLS connection of its own mitmproxy closes the client's.
        if not self.allows(data.conn.sni) or ctx.options.egress_tls == "passthrough":
            data.ssl_conn = None


addons = [Egress()]
