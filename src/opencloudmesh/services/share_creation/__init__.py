"""Shares that our users give (sections "Share Creation Notification" and "Share Deletion").

- `giving`: give, list and take back shares.
- `at_receiver`: what the Receiving Server is told of them, and what becomes of them by that.
"""

from opencloudmesh.services.share_creation.at_receiver import SHARE_CREATION, SharesAtReceivers, creations
from opencloudmesh.services.share_creation.giving import ShareCreation, checked_permissions, checked_place

__all__ = ["SHARE_CREATION", "ShareCreation", "SharesAtReceivers", "checked_permissions", "checked_place", "creations"]
