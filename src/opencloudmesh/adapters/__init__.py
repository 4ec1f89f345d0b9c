"""Adapters: the outside world behind the ports of `opencloudmesh.services.ports`."""
