"""Storage back-ends behind `opencloudmesh.services.ports.Storage`."""
