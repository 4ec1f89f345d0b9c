"""The web pages: rendered here, usable without JavaScript, in front of the same use cases as the user API.

Rules kept here: a page that changes something is a POST with the token of the session's forms, and is answered with a redirect;
nothing that another server or a visitor wrote is markup; no inline script or style, no frame, no request to any other server; a
visitor is led to another server only by a link that shows where it leads.
"""

from opencloudmesh.web.pages.app import build_pages

__all__ = ["build_pages"]
