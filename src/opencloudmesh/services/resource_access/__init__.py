"""Access to shared resources, from both sides (section "Resource Access").

`SharedTrees` is the Sending Server's side: who comes with which credentials to which share. `ReceivedShares` is the Receiving
Server's: the plan of the draft's steps carried out. `UserTrees` shows a user his own files and the received ones in one tree.
"""

from opencloudmesh.services.patience import goes_on
from opencloudmesh.services.resource_access.listing_tag import listing_tag
from opencloudmesh.services.resource_access.received import ReceivedShares, RemoteTreeFor
from opencloudmesh.services.resource_access.remembering import may_be_remembered
from opencloudmesh.services.resource_access.shared import SharedTrees
from opencloudmesh.services.resource_access.user_tree import UserTrees

__all__ = ["ReceivedShares", "RemoteTreeFor", "SharedTrees", "UserTrees", "goes_on", "listing_tag", "may_be_remembered"]
