"""The `ocm` command: what operators and users do with an Open Cloud Mesh server, from a terminal or a script."""
