"""Backups of a running server, and the way back.

Rules kept here:

- The database comes first, as one snapshot; the users' files after it. A file that the database does not know does no harm; one
  that it knows and that is missing would.
- A backup has its name only when it is whole and on the disk; before, it is a hidden `.….partial` that the next backup removes.
- Its manifest names every file with size and SHA-256. It is written last and is read, and checked, first.
- Nobody but the owner may read a backup: folders 0700, files 0600.
"""

from opencloudmesh.adapters.backup.faults import BackupFault
from opencloudmesh.adapters.backup.making import Made, Parts, make_backup
from opencloudmesh.adapters.backup.reading import BackupReader, open_backup
from opencloudmesh.adapters.backup.restoring import Places, Restored, restore_backup
from opencloudmesh.adapters.backup.user_files import NotCopied

__all__ = [
    "BackupFault",
    "BackupReader",
    "Made",
    "NotCopied",
    "Parts",
    "Places",
    "Restored",
    "make_backup",
    "open_backup",
    "restore_backup",
]
