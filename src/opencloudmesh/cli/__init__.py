"""The `ocm` command."""
