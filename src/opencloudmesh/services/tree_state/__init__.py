"""What WebDAV remembers of our folder trees beside the files: locks and dead properties (RFC 4918 sections 4 and 6).

One tree has one set of them, whoever looks at it: a share of a folder sees those of its owner's tree, below the folder.
"""

from opencloudmesh.services.tree_state.dead_properties import TreeProperties
from opencloudmesh.services.tree_state.locks import TreeLocks
from opencloudmesh.services.tree_state.places import Place
from opencloudmesh.services.tree_state.states import Known, StateDatabase, StateTransaction, TreeStates, tree_of

__all__ = ["Known", "Place", "StateDatabase", "StateTransaction", "TreeLocks", "TreeProperties", "TreeStates", "tree_of"]
