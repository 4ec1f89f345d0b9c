"""Every secret that a test gave away or was given, so that logs can be searched for all of them."""

from opencloudmesh.bootstrap import new_token


class SecretsTold:
    """A set of secrets."""

    def __init__(self) -> None:
        self._all: set[str] = set()

    def add(self, secret: str) -> str:
        """Remember it; short ones would be found by chance."""
        if len(secret) >= 16:
            self._all.add(secret)
        return secret

    def new(self) -> str:
        """A fresh one."""
        return self.add(new_token())

    def found_in(self, text: str) -> list[str]:
        return [secret for secret in self._all if secret in text]


told = SecretsTold()
