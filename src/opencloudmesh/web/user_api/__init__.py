"""The user API under /api/v1: what the command line and the web page do for a person, as JSON that documents itself.

Design section 5. Rules kept here: every operation but login needs a session; every error has the one shape and a declared status;
nothing of another user is ever told apart from nothing (404). One module for each subject: its JSON and its operations.
"""

from opencloudmesh.web.user_api.app import build_user_api
from opencloudmesh.web.user_api.services import UserServices

__all__ = ["UserServices", "build_user_api"]
