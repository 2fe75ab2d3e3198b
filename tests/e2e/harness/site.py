"""An nginx that served another site before longhaul came: its own TLS, passwords, log-in service, limits and error pages.

The include is used as the README says, from files that are copied and edited as an administrator would."""

import http.server
import json
import os
import shutil
import signal
import subprocess
import threading

from . import env
from .nginx import CLIENT_LINE, Nginx, binary, free_port

NAMES = ("shop.example", "basic.example", "sso.example", "cert.example", "plain.example")

# What an nginx that runs already might have set for all it serves; some of it would harm an API.
CONF = """
pid {folder}/nginx.pid; error_log {folder}/log/nginx-error.log warn; worker_processes 1; {user}
events {{ worker_connections 4096; }}
http {{
	default_type text/html; server_tokens off; access_log {folder}/log/nginx-access.log;
	client_body_temp_path {folder}/tmp/body; fastcgi_temp_path {folder}/tmp/fastcgi; proxy_temp_path {folder}/tmp/proxy;
	uwsgi_temp_path {folder}/tmp/uwsgi; scgi_temp_path {folder}/tmp/scgi;
	ssl_certificate {folder}/site.pem; ssl_certificate_key {folder}/site.key;
	gzip on; gzip_types *; gzip_min_length 1; ssi on; expires 1h; charset utf-8;
	error_page 404 /404.html; error_page 502 503 504 /50x.html; client_max_body_size 1k;
	proxy_intercept_errors on; fastcgi_intercept_errors on; fastcgi_ignore_headers X-Accel-Buffering Cache-Control;
	fastcgi_read_timeout 1s; keepalive_requests 100000;
	limit_req_zone $server_name zone=shop:1m rate=1r/m;
	map $http_cookie $shop_member {{ default 0; "~\\bsession=good\\b" 1; }}
	{http}

	server {{
		listen 127.0.0.1:{port} ssl{http2} default_server; server_name shop.example;
		root {folder}/www; add_header Strict-Transport-Security "max-age=600" always;
		satisfy any; allow 127.0.0.1; deny all;
		location / {{ }}
		location /private/ {{ satisfy all; auth_basic "shop"; auth_basic_user_file {folder}/shop.htpasswd; }}
		location /members/ {{ satisfy all; auth_request /_session; error_page 401 /login.html; }}
		location = /_session {{ internal; proxy_pass http://127.0.0.1:{auth_port}; proxy_pass_request_body off;
			proxy_set_header Content-Length ''; }}
		location /limited/ {{ limit_req zone=shop burst=2 nodelay; limit_req_status 503; }}
		location /app/ {{ proxy_pass http://127.0.0.1:{dead_port}; }}
		location ~ \\.json$ {{ default_type text/plain; add_header X-Json yes; }}
		location ~ ^/(v1|health|ready) {{ return 200 "the shop's own\\n"; }}
		{shop}
	}}
	{servers}
}}
"""

# One server for each way to know the client; the log-in service guards all of its server.
SERVERS = """
	server {{
		listen 127.0.0.1:{port} ssl{http2}; server_name basic.example;
		include longhaul/basic-locations.conf;
	}}
	server {{
		listen 127.0.0.1:{port} ssl{http2}; server_name sso.example;
		auth_request /_auth; satisfy any; allow 127.0.0.1; deny all;
		location = /_auth {{ internal; auth_request off; proxy_pass http://127.0.0.1:{auth_port};
			proxy_pass_request_body off; proxy_set_header Content-Length ''; }}
		include longhaul/sso-locations.conf;
	}}
	server {{
		listen 127.0.0.1:{port} ssl{http2}; server_name cert.example;
		ssl_client_certificate {folder}/ca.pem; ssl_verify_client optional_no_ca;
		include longhaul/cert-locations.conf;
	}}
	server {{
		listen 127.0.0.1:{port} ssl{http2}; server_name plain.example;
		include longhaul/longhaul-errors.conf;
		include longhaul/plain-locations.conf;
	}}
"""

CERTIFICATE_MAP = """
	map "$ssl_client_verify $ssl_client_s_dn" $longhaul_certificate {
	    default ''; "~^SUCCESS CN=(?<longhaul_cn>[A-Za-z0-9._@-]{1,64})(?:,|$)" $longhaul_cn; }
"""


def http2_words():
    """What makes `listen` speak HTTP/2: newer versions have a directive of its own, and warn of the old way."""
    text = subprocess.run([binary(), "-v"], capture_output=True, text=True).stderr
    version = tuple(int(p) for p in text.split("nginx/")[1].split()[0].split("."))
    return ("", "http2 on;") if version >= (1, 25, 1) else (" http2", "")


class LogIn(http.server.BaseHTTPRequestHandler):
    """The site's log-in service: who has the cookie session=good is carol."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        good = "session=good" in self.headers.get("Cookie", "")
        self.send_response(204 if good else 401)
        if good:
            self.send_header("X-Client", "carol")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_DELETE = do_HEAD = do_GET

    def log_message(self, *_):
        pass


class Site(Nginx):
    """`longhaul`: whether the include is there; without it this is the nginx as it was before."""

    def __init__(self, folder, addresses, longhaul=True, edit=()):
        self.folder = folder
        self.port = free_port()
        self.conf = folder / "nginx.conf"
        self.daemon = None
        for sub in ("longhaul", "log", "tmp", "www/private", "www/members", "www/limited", "www/v1beta"):
            (folder / sub).mkdir(parents=True, exist_ok=True)
        self._certificates()
        self._pages()
        self.log_in = http.server.ThreadingHTTPServer(("127.0.0.1", 0), LogIn)
        self.log_in.daemon_threads = True
        if longhaul:
            self._include(addresses)
        listen, directive = http2_words()
        values = {"folder": folder, "port": self.port, "http2": listen, "auth_port": self.log_in.server_port,
                  "dead_port": free_port(), "user": "user root root;" if os.geteuid() == 0 else ""}
        self.conf.write_text(CONF.format(
            **values, http=directive + ("include longhaul/longhaul-http.conf;" + CERTIFICATE_MAP if longhaul else ""),
            shop="include longhaul/longhaul-locations.conf;" if longhaul else "",
            servers=SERVERS.format(**values) if longhaul else ""))
        for name, old, new in edit:
            self._edit(name, [(old, new)])

    def _pages(self):
        www = self.folder / "www"
        for name, text in {
                "index.html": "the shop", "404.html": "the shop has no such page", "50x.html": "the shop is tired",
                "login.html": "please log in", "private/index.html": "private", "members/index.html": "members",
                "limited/index.html": "limited", "prices.json": '{"apple": 1}', "v1beta/index.html": "an old API"}.items():
            (www / name).write_text(text + "\n")
        (self.folder / "shop.htpasswd").write_text("bob:{PLAIN}builder\n")
        (self.folder / "longhaul.htpasswd").write_text("alice:{PLAIN}wonderland\n")

    def _include(self, addresses):
        """Steps 3 and 4 of the README's section: copy, name the processes, say who the client is."""
        target = self.folder / "longhaul"
        for path in (env.ROOT / "nginx").glob("longhaul-*.conf"):
            shutil.copy(path, target)
        self._edit("longhaul/longhaul-http.conf", [
            ("\tserver unix:/run/longhaul/api-1.sock max_fails=0;\n",
             "".join(f"\tserver {a} max_fails=0;\n" for a in addresses)),
            ("\tserver unix:/run/longhaul/api-2.sock max_fails=0;\n", ""), ("rate=200r/s", "rate=1r/m")])
        text = (target / "longhaul-locations.conf").read_text()

        def uncommented(*lines):
            """The file with the line of nobody left out and these lines taken out of their comments."""
            out = text.replace("\t" + CLIENT_LINE + "\n", "")
            for line in lines:
                assert "\n\t#" + line in out, line
                out = out.replace("\n\t#" + line, "\n\t" + line)
            return out

        (target / "basic-locations.conf").write_text(uncommented(
            "auth_basic  ", "auth_basic_user_file", "fastcgi_param LONGHAUL_CLIENT $remote_user;")
            .replace("/etc/nginx/longhaul.htpasswd", f"{self.folder}/longhaul.htpasswd"))
        (target / "sso-locations.conf").write_text(uncommented(
            "auth_request     /_auth", "auth_request_set", "fastcgi_param LONGHAUL_CLIENT $longhaul_client;"))
        (target / "cert-locations.conf").write_text(uncommented("fastcgi_param LONGHAUL_CLIENT $longhaul_certificate;"))
        (target / "plain-locations.conf").write_text(text.replace(CLIENT_LINE, CLIENT_LINE.replace("''", "load")))
        (target / "longhaul-locations.conf").write_text(
            text.replace("\t#limit_req        zone=longhaul_unsafe burst=400 nodelay;",
                         "\tlimit_req zone=longhaul_unsafe burst=4 nodelay;"))

    # ---- certificates ----

    def _openssl(self, *words):
        subprocess.run(["openssl", *map(str, words)], cwd=self.folder, check=True, capture_output=True)

    def _signed(self, name, subject, extension, ca="ca"):
        self._openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", subject,
                      "-keyout", f"{name}.key", "-out", f"{name}.csr")
        (self.folder / f"{name}.ext").write_text(extension)
        self._openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{ca}.pem", "-CAkey", f"{ca}.key", "-CAcreateserial", "-days", 2,
                      "-extfile", f"{name}.ext", "-out", f"{name}.pem")

    def _certificates(self):
        """An authority of its own, another that nobody trusts, and what they have signed."""
        for ca in ("ca", "other-ca"):
            self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", 2,
                          "-subj", f"/CN={ca}", "-keyout", f"{ca}.key", "-out", f"{ca}.pem")
        self._signed("site", "/CN=shop.example", "subjectAltName=" + ",".join(f"DNS:{n}" for n in NAMES))
        self._signed("dora", "/O=Somewhere\\, CN=root/CN=dora", "extendedKeyUsage=clientAuth")
        self._signed("forged", "/CN=dora", "extendedKeyUsage=clientAuth", ca="other-ca")

    # ---- as Nginx ----

    def start(self):
        threading.Thread(target=self.log_in.serve_forever, daemon=True).start()
        return super().start()

    def stop(self):
        super().stop()
        self.log_in.shutdown()
        self.log_in.server_close()

    def reload(self):
        """As `nginx -s reload`; returns when the worker process is another."""
        before = set(self.daemon.children())
        self.daemon.send(signal.SIGHUP)
        env.wait_until(lambda: set(self.daemon.children()) - before, 20, "nginx to have read its configuration again")

    # ---- using it ----

    def curl(self, url, *words, timeout=60):
        """One request over HTTP/2: an Answer. `url` is https://NAME/PATH."""
        name = url.split("/")[2]
        done = subprocess.run(
            ["curl", "-sS", "--http2", "-i", "--max-time", str(timeout * env.PATIENCE), "--cacert", "ca.pem",
             "--connect-to", f"{name}:443:127.0.0.1:{self.port}", *words, url], cwd=self.folder, capture_output=True)
        assert done.returncode == 0, done.stderr.decode()
        return Answer(done.stdout)

    def curl_stream(self, url, *words):
        """The same, its output as it comes: a Popen."""
        name = url.split("/")[2]
        return subprocess.Popen(
            ["curl", "-sS", "-N", "--http2", "--cacert", "ca.pem", "--connect-to", f"{name}:443:127.0.0.1:{self.port}", *words, url],
            cwd=self.folder, stdout=subprocess.PIPE, text=True)


class Answer:
    """What curl -i printed, in the shape of what assert_problem() knows."""

    def __init__(self, text):
        head, _, self.body = text.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin1").split("\r\n")
        self.version, self.status = first.split()[0], int(first.split()[1])
        self.pairs = [(n.strip().lower(), v.strip()) for n, _, v in (line.partition(":") for line in lines)]

    def header(self, name, otherwise=None):
        return next((v for n, v in self.pairs if n == name), otherwise)

    @property
    def text(self):
        return self.body.decode()

    def json(self):
        return json.loads(self.body)
