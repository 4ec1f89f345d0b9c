"""Settings from a file and the environment: what is taken, and how everything else is named."""

import dataclasses
import re
import sys
from pathlib import Path

import pytest

from opencloudmesh.adapters.routes import RoutePolicy
from opencloudmesh.config import CONFIG_FILE, ConfigError, RouteSettings, Settings, load_settings, parse_origin, render_default
from opencloudmesh.config.reading import DriverMissing
from opencloudmesh.config.settings import setting_names
from opencloudmesh.protocol.errors import InvalidInput, LocalFault

ORIGIN = 'origin = "https://cloud.example.org"\n'
ROUTE = ORIGIN + "[[routes]]\nname='a'\nhosts=['a']\n"


def load(folder: Path, text: str, **environ: str) -> Settings:
    (folder / CONFIG_FILE).write_text(text, encoding="utf-8")
    return load_settings(folder, environ)


def faults_of(folder: Path, text: str, **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(folder, text, **environ)
    assert isinstance(caught.value, LocalFault)
    assert caught.value.code == "config-invalid"
    assert caught.value.sentence == "\n".join(map(str, caught.value.faults))
    return [str(fault).removeprefix(str(folder / CONFIG_FILE)) for fault in caught.value.faults]


def test_the_defaults(tmp_path: Path) -> None:
    settings = load(tmp_path, ORIGIN)
    assert settings.origin == "https://cloud.example.org"
    assert (settings.listen_host, settings.listen_port) == ("127.0.0.1", 8080)
    assert settings.data_dir == tmp_path / "data"
    assert settings.database_url == f"sqlite:///{tmp_path}/data/opencloudmesh.sqlite3"
    assert settings.is_sqlite
    assert settings.signing_key == tmp_path / "keys" / "signing.pem"
    assert settings.secrets_key == tmp_path / "keys" / "secrets.key"
    assert settings.signatures.required
    assert settings.routes == ()


def test_everything_in_the_file(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        """
        origin = "https://Cloud.Example.org:443/"
        data_dir = "/srv/ocm"
        database_url = "postgresql+psycopg://ocm@localhost/ocm"

        [delivery]
        retry_first = 2
        wait_for_first_try = 0.5

        [trust]
        allowlist = [
            "a.example.org",
            "b.example.org:8443",
        ]

        [[routes]]
        name = "campus"
        hosts = ["ocm.campus.example", "10.20.0.1", "::1"]
        networks = ["10.20.0.0/16", "::1/128"]
        ports = [443, 8443]
        ca_file = "campus.pem"

        [[routes]]
        name = "lab"
        hosts = ["localhost"]
        networks = ["127.0.0.0/8"]
        plain_http = true
        """,
    )
    assert settings.origin == "https://cloud.example.org"
    assert settings.data_dir == Path("/srv/ocm")
    assert not settings.is_sqlite
    assert (settings.delivery.retry_first, settings.delivery.wait_for_first_try) == (2.0, 0.5)
    assert isinstance(settings.delivery.retry_first, float)
    assert settings.trust.allowlist == ("a.example.org", "b.example.org:8443")
    assert [route.name for route in settings.routes] == ["campus", "lab"]
    assert settings.routes[0].ca_file == tmp_path / "campus.pem"
    for route in settings.routes:
        RoutePolicy.parse(**dataclasses.asdict(route))


@pytest.mark.parametrize("url", ["postgresql+psycopg://ocm@localhost/ocm", "postgresql:///ocm", "postgres://localhost/ocm"])
def test_postgresql_without_its_driver_is_named_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    assert load(tmp_path, ORIGIN).is_sqlite
    with pytest.raises(DriverMissing, match=f"{CONFIG_FILE}:2: .* psycopg .* not installed") as caught:
        load(tmp_path, f'{ORIGIN}database_url = "{url}"\n')
    assert caught.value.code == "database-driver-missing"
    assert caught.value.hint == f"Install it: {sys.executable} -m pip install 'psycopg[binary]>=3.2'"
    with pytest.raises(DriverMissing, match="OCM_DATABASE_URL: "):
        load(tmp_path, ORIGIN, OCM_DATABASE_URL=url)


def test_the_command_that_installs_the_driver_is_that_of_the_extra(project_root: Path) -> None:
    package = "'psycopg[binary]>=3.2'"
    assert f"postgres = [{package.replace(chr(39), chr(34))}]" in (project_root / "pyproject.toml").read_text("utf-8")
    assert f"pip install {package}" in (project_root / "docs/operate/install.md").read_text("utf-8")


def test_the_environment_wins(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        ORIGIN + "listen_port = 1\n[signatures]\nrequired = true\n",
        OCM_ORIGIN="https://other.example",
        OCM_LISTEN_PORT="9000",
        OCM_DELIVERY_RETRY_FIRST="0.25",
        OCM_SIGNATURES_REQUIRED="false",
        OCM_TRUST_DENYLIST="a.example, b.example",
        OCM_CONFIG_DIR="/home/alice/.config/ocm",
        PATH="/bin",
    )
    assert (settings.origin, settings.listen_port) == ("https://other.example", 9000)
    assert (settings.delivery.retry_first, settings.signatures.required) == (0.25, False)
    assert settings.trust.denylist == ("a.example", "b.example")


def test_the_environment_may_give_all(tmp_path: Path) -> None:
    assert load(tmp_path, "", OCM_ORIGIN="https://cloud.example.org").origin == "https://cloud.example.org"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (ORIGIN + 'orgin = "x"', ":2: unknown setting `orgin`; did you mean `origin`?"),
        (ORIGIN + "[delivery]\n\nretry_frist = 3", ":4: unknown setting `retry_frist`; did you mean `retry_first`?"),
        (ORIGIN + "[delivry]\nretry_first = 3", ":2: unknown setting `delivry`; did you mean `delivery`?"),
        (ORIGIN + "retry_first = 3", ":2: unknown setting `retry_first`; did you mean `retry_first` in `[delivery]`?"),
        (ORIGIN + "colour = 1", ":2: unknown setting `colour`"),
        (ORIGIN + "delivery.retry_first = true", ":2: `retry_first` is a number"),
        (ORIGIN + "delivery = 1", ":2: `delivery` is a section: write [delivery]"),
        (ORIGIN + "routes = 1", ":2: `routes` are tables: write [[routes]]"),
        (ORIGIN + 'listen_port = "8080"', ":2: `listen_port` is a whole number"),
        (ORIGIN + "listen_port = 80.5", ":2: `listen_port` is a whole number"),
        (ORIGIN + "listen_port = 65536", ":2: `listen_port` is between 0 and 65535"),
        (ORIGIN + "provider = 1", ':2: `provider` is text: write it as "..."'),
        (ORIGIN + 'data_dir = ""', ':2: `data_dir` is a path: write it as "..."'),
        (ORIGIN + "[delivery]\nretry_first = 0", ":3: `retry_first` is at least 0.01"),
        (ORIGIN + "[delivery]\nretry_first = nan", ":3: `retry_first` is a number"),
        (ORIGIN + "[signatures]\nrequired = 1", ":3: `required` is true or false"),
        (ORIGIN + "[trust]\nallowlist = 'a'", ':3: `allowlist` is a list of texts: write it as ["...", "..."]'),
        (ORIGIN + "[trust]\nallowlist = ['https://a']", ":3: `https://a` is not a host such as cloud.example.org"),
        (ORIGIN + "x = [1,\n2\n]\ny = = 3\n", ":5: this line is not valid TOML"),
        (ORIGIN + "[delivery\n", ":2: this line is not valid TOML"),
        (ORIGIN + ORIGIN, ":2: this line is not valid TOML"),
        (ORIGIN + "[trust]\n[limits]\n[trust]\n", ":4: this table stands already at line 2: write its settings there"),
        (ORIGIN + "[trust]\n[limits]\n[trust] = 1\n", ":4: this line is not valid TOML"),
        ("", ":1: `origin` is missing: the public address, such as https://cloud.example.org"),
        ("origin = 1", ':1: `origin` is text: write it as "..."'),
        ("\norigin = 'https://a/b'", ":2: `https://a/b` must be scheme and host only, without user name, path and query"),
        (ORIGIN + "[[routes]]\nname='a'\nhosts=['a b']", ":4: `a b` is not a host"),
        (ROUTE + "plain_http=true", ":5: `plain_http` needs the `networks` that it is meant for"),
        (ROUTE + "networks=['10.0.0.1/8']", ":5: `10.0.0.1/8` is not a network such as 10.0.0.0/8"),
        (ROUTE + "[[routes]]\nname='b'\nhosts=['b']\nports=[0]", ":8: `ports` is between 1 and 65535"),
        (ORIGIN + "[[routes]]\nname='a'", ":2: a route needs `hosts`"),
        (ORIGIN + "[[routes]]\nhost='a'\nname='a'\nhosts=['a']", ":3: unknown setting `host`; did you mean `hosts`?"),
    ],
)  # fmt: skip
def test_a_fault_is_named_with_its_line(tmp_path: Path, text: str, fault: str) -> None:
    assert faults_of(tmp_path, text) == [fault]


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("OCM_DELIVERY_RETRY_FRIST", "3", "unknown setting `OCM_DELIVERY_RETRY_FRIST`; did you mean `OCM_DELIVERY_RETRY_FIRST`?"),
        ("OCM_LISTEN_PORT", "http", "`listen_port` is a whole number"),
        ("OCM_SIGNATURES_REQUIRED", "maybe", "`required` is true or false"),
        ("OCM_ORIGIN", "cloud.example.org", "`cloud.example.org` is not an address such as https://cloud.example.org"),
    ],
)
def test_a_fault_in_a_variable(tmp_path: Path, name: str, value: str, fault: str) -> None:
    assert faults_of(tmp_path, ORIGIN, **{name: value}) == [f"{name}: {fault}"]


def test_all_faults_at_once(tmp_path: Path) -> None:
    text = 'listen_port = "x"\n[delivery]\nretry_frist = 1\nretry_max = "y"\n[limts]\n'
    assert len(faults_of(tmp_path, text, OCM_NOTHING="1")) == 6


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="ocm init"):
        load_settings(tmp_path, {})
    (tmp_path / CONFIG_FILE).write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_settings(tmp_path, {})


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://cloud.example.org", "https://cloud.example.org"),
        ("https://CLOUD.example.org:8443/", "https://cloud.example.org:8443"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
        ("http://localhost:9101", "http://localhost:9101"),
        ("http://127.0.0.1:9101", "http://127.0.0.1:9101"),
        ("http://127.3.2.1", "http://127.3.2.1"),
        ("http://[::1]:9101", "http://[::1]:9101"),
        ("http://lab.test:8080", "http://lab.test:8080"),
        ("http://a.lab.test:8080", "http://a.lab.test:8080"),
    ],
)
def test_good_origins(text: str, origin: str) -> None:
    assert parse_origin(text, (RouteSettings("lab", ("lab.test",), ("10.0.0.0/8",), (8080,), True),)) == origin


@pytest.mark.parametrize(
    "text",
    [
        "cloud.example.org",
        "//cloud.example.org",
        "ftp://cloud.example.org",
        "http://cloud.example.org",
        "http://lab.test:8081",
        "http://notlab.test:8080",
        "http://128.0.0.1",
        "http://localhost.example.org",
        "http://127.0.0.1.example.org",
        "https://cloud.example.org/ocm",
        "https://cloud.example.org?x",
        "https://cloud.example.org?",
        "https://cloud.example.org#x",
        "https://cloud.example.org#",
        "https://user@cloud.example.org",
        "https://user:password@cloud.example.org",
        "https://cloud.example.org:99999",
        "https://",
        "https://[::1",
        "https://a b",
        "",
    ],
)
def test_bad_origins(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_origin(text, (RouteSettings("lab", ("lab.test",), ("10.0.0.0/8",), (8080,), True),))


def test_the_file_of_a_new_server_gives_the_defaults(tmp_path: Path) -> None:
    assert load(tmp_path, render_default("https://cloud.example.org")) == load(tmp_path, ORIGIN)


def test_the_file_of_a_new_server_names_every_setting(tmp_path: Path) -> None:
    text = render_default(origin="https://cloud.example.org", listen="[::1]:9000")
    uncommented = re.sub(r"^# (?=(\[\[|\w+ = ))", "", text, flags=re.MULTILINE)
    settings = load(tmp_path, uncommented)
    assert (settings.listen_host, settings.listen_port) == ("::1", 9000)
    assert settings.routes[0].name == "campus"
    assert settings.directories[0].keys_file == tmp_path / "directory-keys.json"
    for name in setting_names():
        assert len(re.findall(rf"^{name.rpartition('.')[2]} = ", uncommented, flags=re.MULTILINE)) == 1
        assert name.rpartition(".")[2] in text
    shown = dataclasses.replace(
        settings,
        routes=(),
        directories=(),
        trust=Settings().trust,
        limits=dataclasses.replace(settings.limits, trusted_proxies=()),
        listen_host="127.0.0.1",
        listen_port=8080,
        database_url=f"sqlite:///{tmp_path}/data/opencloudmesh.sqlite3",
    )
    assert shown == load(tmp_path, ORIGIN)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[trust]\nmode = "closed"', "`closed` is none of open, invite-only, allowlist, federation"),
        ("[signatures]\nprofiles = []", "`profiles` names at least one of draft-05, draft-07"),
        ('[signatures]\nprofiles = ["draft-07", "draft-99"]', "`draft-99` is none of draft-05, draft-07"),
        ('[logs]\nlevel = "loud"', "`loud` is none of debug, info, warning, error"),
        ("[[directories]]", "a directory needs `url`"),
        ("[[directories]]\nurl = 'https://a.example.org/list'", "a directory needs `keys_file`"),
        ("[[directories]]\nurl = 'list'\nkeys_file = 'keys.json'", "`list` is not a URL such as"),
        (
            "".join(
                f"[[directories]]\nurl = 'https://{host}/list'\nkeys_file = 'keys.json'\n"
                for host in ("a.example", "A.example:443")
            ),
            "`https://A.example:443/list` stands in another [[directories]] already",
        ),
        ("directories = 1", "`directories` are tables: write [[directories]]"),
        ('[limits]\ntrusted_proxies = ["proxy"]', "`proxy` is not a network such as 10.0.0.0/8"),
    ],
)
def test_words_and_networks_are_checked(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, f"{ORIGIN}\n{text}")
    assert told in str(caught.value)


@pytest.mark.parametrize("listen", ["", "8080", ":8080", "host:", "host:x", "host:65536"])
def test_a_bad_listen_address(listen: str) -> None:
    with pytest.raises(InvalidInput):
        render_default("https://cloud.example.org", listen=listen)


def test_no_file_is_written_for_a_bad_origin() -> None:
    with pytest.raises(InvalidInput):
        render_default("http://cloud.example.org")
