"""Every page with something on it: what happened between three people before somebody looks at the pages."""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from opencloudmesh.protocol.invite_flow import parse_invite
from tests.browser.person import Person
from tests.federation.peer import SimulatedPeer
from tests.federation.secrets_told import told
from tests.federation.site import Site, User
from tests.federation.wire import free_port


@dataclass(frozen=True)
class PageToSee:
    """A page by the name of its picture, the path there, and what is done on it first: a button is pressed, a question opened."""

    name: str
    path: str
    button: str = ""
    opened: str = ""
    is_public: bool = False
    in_docs: str = ""
    """The heading of its picture in docs/pages.md; empty for what only `--all` takes a picture of."""

    @property
    def picture(self) -> str:
        """The name of its files, without the scheme."""
        return self.name.replace(" ", "-")


def set_the_stage(alice: User, bob: User, peer: SimulatedPeer) -> str:
    """Alice and Bob know each other and share; Erin of `peer` is unknown to them.

    Returns the token of a public link, where Alice's server has such links.
    """
    home, away = alice.site, bob.site
    _meet(alice, bob)
    address_of = {one["name"]: one["address"] for who in (alice, bob) for one in who.api("GET", "/contacts")["items"]}
    for user, names in ((alice, ("Summer school", "Lecture notes.pdf")), (bob, ("Measurements 2026", "Field diary"))):
        for name in names:
            user.put(name) if "." in name else user.make_folder(name)
    bob.put("Field diary/June.txt", b"It rained. " * 300)
    bob.share("Measurements 2026", address_of["Alice"], ["read", "write"])
    accepted = bob.share("Field diary", address_of["Alice"])
    alice.answer("accept", accepted["provider_id"])
    alice.share("Summer school", address_of["Bob"])
    alice.share("Lecture notes.pdf", f"dora@127.0.0.1:{free_port()}")  # a server that is down
    erin = f"erin@{peer.host}"
    message = peer.share(
        alice.address, name="numbers.csv", owner=erin, sender=erin, senderDisplayName="Erin", description="What we spoke of."
    )
    assert peer.post(home.origin, "/ocm/shares", message).status == 201
    alice.api("POST", "/contacts", {"address": f"carol@{peer.host}", "name": "Carol", "email": "carol@example.org"})
    alice.api("POST", "/contacts", {"address": f"dora@{away.host}", "name": "Dora", "trusted": True})
    bob.api("POST", "/contacts", {"address": f"carol@{peer.host}"})
    told.add(alice.api("POST", "/invites", {"note": "for Frank, who joins in May"})["invite"])
    bob.api("POST", "/requests", {"owner": address_of["Alice"], "resource": "Lecture notes.pdf"})
    alice.api("POST", "/requests", {"owner": address_of["Bob"], "resource": "Slides of the last day"})
    home.ocm("peer", "allow", away.host, "--dir", str(home.folder))
    if home.settings.get("public_links") != "true":
        return ""
    return told.add(alice.api("POST", "/request-links", {"path": "Summer school"})["token"])


def _meet(alice: User, bob: User) -> None:
    made = alice.api("POST", "/invites", {"note": "for Bob of the summer school"})["invite"]
    told.add(made)
    told.add(parse_invite(made).token)
    bob.api("POST", "/invites/accept", {"invite": made})


def pages(home: Site, away: Site, peer: SimulatedPeer, *, link: str = "") -> Sequence[PageToSee]:
    """All of them, as Alice sees them at `home`; `link` is the token of her public link, without which there is none."""
    wayf = "/wayf?token=an-invitation-of-a-test"
    dialog = "/invite/accept?token=an-invitation-of-a-test&providerDomain="
    return (
        PageToSee("login", "/login", is_public=True, in_docs="Logging in there"),
        PageToSee("login refused", "/login", "Log in", is_public=True),
        PageToSee("inbox", "/inbox", in_docs="Inbox"),
        PageToSee("files", "/files", in_docs="Files"),
        PageToSee("files of a share", "/files?path=Shared with me/Field diary"),
        PageToSee("files missing", "/files?path=nothing"),
        PageToSee("shares", "/shares", in_docs="Shares"),
        PageToSee("share to confirm", "/shares", opened="Take back"),
        PageToSee("contacts", "/contacts", in_docs="Contacts"),
        PageToSee("contacts not found", "/contacts?search=nobody"),
        PageToSee("contacts to add", "/contacts", opened="Add an address"),
        PageToSee("contacts to merge", "/contacts", opened="The same person as"),
        PageToSee("what was done", "/invites", "Save"),
        PageToSee("contacts as a file", "/contacts", opened="As a file"),
        PageToSee("form only", "/contacts/1/remove"),
        PageToSee("invitations", "/invites", in_docs="Invitations"),
        PageToSee("invitations ended", "/invites?ended=1"),
        PageToSee("invitation made", "/invites", "Make an invitation", in_docs="An invitation, just made"),
        PageToSee("accept", f"{dialog}{away.host}", in_docs="The dialog that accepts"),
        PageToSee("accept unreachable", f"{dialog}127.0.0.1:1"),
        PageToSee("accept invalid", "/invite/accept"),
        PageToSee("wayf", wayf, is_public=True, in_docs="Where the invited person chooses the own server"),
        PageToSee("wayf found", f"{wayf}&server={quote(away.host)}", is_public=True, in_docs="The server is found"),
        PageToSee("wayf string", f"{wayf}&server={quote(peer.host)}", is_public=True),
        PageToSee("wayf own server", f"{wayf}&server={quote(home.host)}", is_public=True),
        PageToSee("wayf not found", f"{wayf}&server=nowhere.invalid", is_public=True),
        PageToSee("wayf no invitation", "/wayf", is_public=True),
        PageToSee("requests", "/requests", in_docs="Requests"),
        PageToSee("request to grant", "/requests", opened="Share it"),
        PageToSee("request access", f"/request-access?token={link}", is_public=True, in_docs="Asking through a public link"),
        PageToSee("request link unknown", "/request-access?token=nothing", is_public=True),
        PageToSee("error", "/contacts?" + "&".join(f"a{n}=" for n in range(200)), in_docs="Something went wrong"),
    )


def go_to(person: Person, origin: str, page: PageToSee) -> None:
    """Open a page, as far as it is to be seen."""
    person.visit(origin + page.path)
    if page.name == "login refused":
        person.fill("User name", "nobody")
        person.fill("Password", "guessed")
    if page.button:
        with person.page.expect_navigation():
            person.click("button", page.button)
    if page.opened:
        person.open(page.opened)
