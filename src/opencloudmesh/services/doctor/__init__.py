"""The doctor: why does it not work? Walks through all that stands between two servers, or before our own, and says what to do.

Rules kept here: a walk changes nothing, here or elsewhere; each step is bounded, and so is the walk; what is reported may be
shown to anybody: no secret, no content of a file, no name of a user.
"""

from opencloudmesh.services.doctor.findings import Finding, Outcome, Seen
from opencloudmesh.services.doctor.network import Certificate, HostAddress, NetworkProbe, TlsLook
from opencloudmesh.services.doctor.own import OwnDoctor
from opencloudmesh.services.doctor.peer import PeerDoctor
from opencloudmesh.services.doctor.visit import Instruments
from opencloudmesh.services.doctor.walk import Report, StepResult

__all__ = [
    "Certificate",
    "Finding",
    "HostAddress",
    "Instruments",
    "NetworkProbe",
    "Outcome",
    "OwnDoctor",
    "PeerDoctor",
    "Report",
    "Seen",
    "StepResult",
    "TlsLook",
]
